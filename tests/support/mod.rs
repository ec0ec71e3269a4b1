//! What several tests of the command need.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A Python that has these modules of `tests/requirements.txt`: the one that `SUMZERO_PYTHON` names, a virtual environment of
/// ours, or the system's.
pub(crate) fn python(modules: &str) -> PathBuf {
    let named = std::env::var_os("SUMZERO_PYTHON").map(PathBuf::from);
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let own = environment.join("bin/python");
    let python = named.unwrap_or_else(|| if own.exists() { own } else { "python3".into() });
    let import = Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .stderr(Stdio::null())
        .status();
    let environment = environment.display();
    assert!(
        import.is_ok_and(|status| status.success()),
        "{} cannot import {modules}. Install what the tests need with\n    python3 -m venv {environment} && \
         {environment}/bin/pip install -r tests/requirements.txt\nor name a Python that has it in SUMZERO_PYTHON",
        python.display(),
    );
    python
}
