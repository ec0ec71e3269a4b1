//! A private real PostgreSQL for a test or a bench: found, made, started, and gone when the process is gone.
//!
//! A keeper process owns the server. Its standard input is a pipe from this process, so that it learns of the end of the
//! process however that comes about (return, panic, abort, kill), stops the server and removes the directory. The server
//! listens on a socket inside that directory only. As root the keeper runs as `postgres` or `nobody`, because the server
//! refuses to run as root.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use thiserror::Error as ThisError;

/// Oldest major version that will do.
const MAJOR_VERSION_MIN: u32 = 15;
const START_WITHIN: Duration = Duration::from_secs(60);
/// It only names the socket.
const PORT: u16 = 5432;

const KEEPER: &str = r#"
trap '' HUP INT TERM
"$1/postgres" -D "$2/data" >"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT "$server"
wait "$server"
rm -rf "$2"
"#;

/// Why no real PostgreSQL could be had.
#[derive(Debug, ThisError)]
pub enum Error {
    /// None is installed.
    #[error(
        "no PostgreSQL {MAJOR_VERSION_MIN} or newer was found (pg_config --bindir, /usr/lib/postgresql/*/bin, PATH). \
         Install one with: apt-get install postgresql"
    )]
    Missing,
    /// The server refuses to run as root.
    #[error("running as root, and there is no user `postgres` or `nobody` to run the server as")]
    NoUser,
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// One of PostgreSQL's programs failed.
    #[error("{what} failed:\n{output}")]
    Failed {
        /// Which.
        what: &'static str,
        /// What it printed.
        output: String,
    },
}

/// A running server, stopped and removed when dropped.
#[derive(Debug)]
pub struct Server {
    binaries: PathBuf,
    directory: PathBuf,
    /// Holds the pipe whose end tells the keeper to clean up.
    keeper: Child,
}

impl Server {
    /// Makes and starts a server with these settings, in the syntax of `postgresql.conf`.
    ///
    /// # Errors
    /// When there is none to be had, with the reason.
    pub fn start(settings: &str) -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let binaries = find_binaries()?;
        let user = unprivileged_user()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sumzero-postgres-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).map_err(io_error("making the server's directory"))?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))
            .map_err(io_error("closing the server's directory"))?;
        if let Some((uid, gid)) = user {
            chown(&directory, Some(uid), Some(gid)).map_err(io_error("giving the directory away"))?;
        }
        let mut initdb = as_user(user, &binaries.join("initdb"));
        initdb.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ]);
        run("initdb", initdb.arg(directory.join("data")))?;
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nport = {PORT}\n{settings}\n",
            directory.display()
        );
        fs::write(directory.join("data/postgresql.auto.conf"), settings)
            .map_err(io_error("writing the settings"))?;
        let keeper = as_user(user, Path::new("/bin/sh"))
            .args(["-c", KEEPER, "keeper"])
            .args([&binaries, &directory])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io_error("starting the keeper"))?;
        let server = Self {
            binaries,
            directory,
            keeper,
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&self) -> Result<(), Error> {
        let deadline = Instant::now() + START_WITHIN;
        while let Err(error) = run("pg_isready", self.client("pg_isready").arg("--quiet")) {
            if Instant::now() >= deadline {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                let output = format!("{error}\n{log}");
                return Err(Error::Failed {
                    what: "starting PostgreSQL",
                    output,
                });
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// One of PostgreSQL's client programs, pointed at this server as its superuser `postgres`.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command
            .current_dir("/")
            .env("PGHOST", &self.directory)
            .env("PGPORT", PORT.to_string())
            .env("PGUSER", "postgres");
        command
    }

    /// Makes an empty database.
    ///
    /// # Errors
    /// When the server refuses, for one because the name is taken.
    pub fn create_database(&self, name: &str) -> Result<(), Error> {
        run(
            "createdb",
            self.client("createdb").args(["--template=template0", name]),
        )
    }

    /// The directory of its socket.
    pub fn socket(&self) -> &Path {
        &self.directory
    }

    /// The number in its socket's name.
    pub fn port(&self) -> u16 {
        PORT
    }

    /// Where a database of it is, for a user.
    pub fn url(&self, user: &str, database: &str) -> String {
        let host = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://{user}@{host}:{PORT}/{database}")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It removes the directory; nothing can be done about one that does not.
        let _ = self.keeper.wait();
    }
}

fn run(what: &'static str, command: &mut Command) -> Result<(), Error> {
    let done = command.output().map_err(io_error(what))?;
    if done.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(Error::Failed { what, output })
}

fn as_user(user: Option<(u32, u32)>, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}
fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { what, source }
}

/// The user to run as: `None` when this process has no privileges to shed.
fn unprivileged_user() -> Result<Option<(u32, u32)>, Error> {
    let own = fs::metadata("/proc/self").map_err(io_error("reading the own user id"))?;
    if own.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(io_error("reading the users"))?;
    let find = |name: &str| {
        users.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then_some(())?;
            Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .map(Some)
        .ok_or(Error::NoUser)
}

/// The directory of `initdb` and `postgres`, of the newest version found.
fn find_binaries() -> Result<PathBuf, Error> {
    let mut candidates = Vec::new();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        candidates.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        candidates.extend(versions.flatten().map(|entry| entry.path().join("bin")));
    }
    if let Some(path) = std::env::var_os("PATH") {
        candidates.extend(std::env::split_paths(&path));
    }
    let programs = ["initdb", "postgres", "pg_isready", "createdb"];
    let usable = candidates
        .into_iter()
        .filter(|path| programs.iter().all(|program| path.join(program).exists()));
    let versions = usable.filter_map(|path| Some((major_version(&path.join("postgres"))?, path)));
    let newest = versions
        .filter(|(version, _)| *version >= MAJOR_VERSION_MIN)
        .max_by_key(|(version, _)| *version);
    newest.map(|(_, path)| path).ok_or(Error::Missing)
}

fn major_version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
