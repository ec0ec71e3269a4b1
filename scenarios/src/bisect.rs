//! Which commit changed the verdict on a seed.
//!
//! `git bisect` picks the commits, in a work tree of its own that is taken away afterwards: neither the files nor the
//! branch that one works on are touched. At each commit a program is built and runs the seed. A commit that does not build,
//! or does not know the scenario, is neither good nor bad and is skipped.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What is looked for, and where.
#[derive(Clone, Debug)]
pub struct Bisect {
    /// A folder of the repository.
    pub repository: PathBuf,
    /// A commit at which the verdict is as it was.
    pub good: String,
    /// A later one at which it is not.
    pub bad: String,
    /// Builds and runs the seed, in a shell, in the work tree. It exits with 0 or 1 for the verdicts that are told apart (held,
    /// violated); with anything else the commit is skipped.
    pub command: String,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// The commit that changed the verdict; several when those between could not be told apart.
    pub commits: Vec<String>,
    /// What `git bisect` wrote of its steps.
    pub log: String,
}

/// Why no commit was found.
#[derive(Debug, thiserror::Error)]
pub enum BisectError {
    /// A program could not be started, or a file not written.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Git refused.
    #[error("git {arguments}: {problem}")]
    Git {
        /// What it was asked for.
        arguments: String,
        /// What it said.
        problem: String,
    },
    /// The good commit is not good or the bad one not bad.
    #[error("at {revision} the seed {found}; {remedy}")]
    NoChange {
        /// The commit.
        revision: String,
        /// What its verdict is.
        found: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

/// A work tree that goes with its owner.
struct Scratch<'a> {
    repository: &'a Path,
    folder: PathBuf,
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let tree = self.folder.display().to_string();
        let _ = git(self.repository, &["worktree", "remove", "--force", &tree]);
    }
}

fn system(doing: &'static str) -> impl FnOnce(io::Error) -> BisectError {
    move |source| BisectError::System { doing, source }
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String, BisectError> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(system("starting git"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if output.status.success() {
        return Ok(said(&output.stdout));
    }
    Err(BisectError::Git {
        arguments: arguments.join(" "),
        problem: format!("{}{}", said(&output.stdout), said(&output.stderr)),
    })
}

impl Bisect {
    /// Finds the commit. `watch` hears of each step.
    ///
    /// # Errors
    /// [`BisectError`]: git's refusals; that the ends are not as they are said to be.
    pub fn run(&self, mut watch: impl FnMut(&str)) -> Result<Culprit, BisectError> {
        // Named once: a name such as HEAD means another commit in the work tree.
        let name = |revision: &String| {
            let commit = format!("{revision}^{{commit}}");
            git(&self.repository, &["rev-parse", "--verify", &commit])
        };
        let (good, bad) = (name(&self.good)?, name(&self.bad)?);
        let folder = std::env::temp_dir().join(format!("sumzero-bisect-{}", std::process::id()));
        let tree = folder.display().to_string();
        git(&self.repository, &["worktree", "add", "--detach", &tree, &bad])?;
        let scratch = Scratch {
            repository: &self.repository,
            folder,
        };
        for (revision, wanted) in [(&bad, 1), (&good, 0)] {
            git(&scratch.folder, &["checkout", "--quiet", revision])?;
            watch(&format!("checks {}", self.describe(revision)));
            self.check_end(&scratch.folder, revision, wanted)?;
        }
        let script = scratch.folder.with_extension("sh");
        let mut file = fs::File::create(&script).map_err(system("writing the script of a step"))?;
        // 125 has git skip a commit; what is no verdict is none.
        let text = format!(
            "{}\ncode=$?\n[ $code -le 1 ] || exit 125\nexit $code\n",
            self.command
        );
        file.write_all(text.as_bytes())
            .map_err(system("writing the script of a step"))?;
        git(&scratch.folder, &["bisect", "start", &bad, &good])?;
        watch("searches");
        let step = script.display().to_string();
        let found = git(&scratch.folder, &["bisect", "run", "sh", &step]);
        let log = git(&scratch.folder, &["bisect", "log"]);
        let _ = git(&scratch.folder, &["bisect", "reset"]);
        let _ = fs::remove_file(&script);
        let said = match found {
            Ok(said) => said,
            // So ends a search among commits that were skipped.
            Err(BisectError::Git { problem, .. }) if problem.contains("only 'skip'ped commits left") => {
                problem
            }
            Err(error) => return Err(error),
        };
        let first = said
            .lines()
            .find_map(|line| line.strip_suffix(" is the first bad commit"));
        let commits = match first {
            Some(commit) => vec![commit.to_owned()],
            None => {
                let all = said.lines().map(str::trim);
                let commits =
                    all.filter(|line| line.len() >= 40 && line.bytes().all(|byte| byte.is_ascii_hexdigit()));
                commits.map(str::to_owned).collect()
            }
        };
        Ok(Culprit {
            commits: commits.iter().map(|commit| self.describe(commit)).collect(),
            log: log?,
        })
    }

    fn check_end(&self, folder: &Path, revision: &str, wanted: i32) -> Result<(), BisectError> {
        let status = Command::new("sh")
            .args(["-c", &self.command])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(system("running the seed"))?;
        let (found, remedy) = match (status.code(), wanted) {
            (Some(code), wanted) if code == wanted => return Ok(()),
            (Some(0), _) => ("holds", "choose a later commit for --bad"),
            (Some(1), _) => ("fails", "choose an earlier commit for --good"),
            _ => (
                "cannot be told",
                "choose a commit that builds and knows the scenario",
            ),
        };
        Err(BisectError::NoChange {
            revision: self.describe(revision),
            found,
            remedy,
        })
    }

    /// A commit with its subject.
    fn describe(&self, commit: &str) -> String {
        let described = git(
            &self.repository,
            &["show", "--no-patch", "--format=%h %s (%an, %as)", commit],
        );
        described.unwrap_or_else(|_| commit.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository in which the fifth commit makes `seed` fail, and the fourth does not build.
    fn repository(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("sumzero-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        git(&folder, &["init", "--quiet"]).unwrap();
        for number in 1..=8 {
            let text = match number {
                4 => "exit 101",
                5.. => "exit 1",
                _ => "exit 0",
            };
            fs::write(folder.join("seed"), format!("{text} # {number}\n")).unwrap();
            git(&folder, &["add", "seed"]).unwrap();
            let author = [
                "-c",
                "user.name=Somebody",
                "-c",
                "user.email=somebody@example.org",
            ];
            let commit = ["commit", "--quiet", "-m", &format!("Change {number}")];
            git(&folder, &[author.as_slice(), &commit].concat()).unwrap();
        }
        folder
    }

    fn bisect(repository: &Path, good: &str, bad: &str) -> Bisect {
        Bisect {
            repository: repository.to_owned(),
            good: good.to_owned(),
            bad: bad.to_owned(),
            command: "sh seed".to_owned(),
        }
    }

    #[test]
    fn the_commit_that_changed_the_verdict_is_named() {
        let repository = repository("bisect-named");
        let mut steps = Vec::new();
        let found = bisect(&repository, "HEAD~7", "HEAD")
            .run(|step| steps.push(step.to_owned()))
            .unwrap();
        // The one before it could not be tried, so that it may be to blame as well.
        assert_eq!(found.commits.len(), 2, "{found:?}");
        assert!(
            found
                .commits
                .iter()
                .any(|commit| commit.contains("Change 5 (Somebody")),
            "{found:?}"
        );
        assert!(steps[0].contains("Change 8"), "{steps:?}");
        let sure = bisect(&repository, "HEAD~4", "HEAD~1");
        assert!(matches!(
            sure.run(|_| {}),
            Err(BisectError::NoChange {
                found: "cannot be told",
                ..
            })
        ));
        let earlier = bisect(&repository, "HEAD~7", "HEAD~5")
            .run(|_| {})
            .unwrap_err()
            .to_string();
        assert!(
            earlier.contains("Change 3") && earlier.contains("a later commit for --bad"),
            "{earlier}"
        );
        // Nothing is left behind.
        assert_eq!(
            git(&repository, &["worktree", "list"]).unwrap().lines().count(),
            1
        );
        assert_eq!(git(&repository, &["status", "--short"]).unwrap(), "");
        fs::remove_dir_all(repository).unwrap();
    }

    #[test]
    fn what_is_no_commit_is_refused() {
        let repository = repository("bisect-refused");
        let refused = bisect(&repository, "HEAD~7", "no-such-branch")
            .run(|_| {})
            .unwrap_err()
            .to_string();
        assert!(refused.contains("no-such-branch"), "{refused}");
        fs::remove_dir_all(repository).unwrap();
    }
}
