//! A private real PostgreSQL for this test process: found, made, started, and gone when the process is gone.
//!
//! A keeper process owns the server. Its standard input is a pipe from this process, so that it learns of the end of the
//! process however that comes about (return, panic, abort, kill), stops the server and removes the directory. The server
//! listens on a socket inside that directory only. As root the keeper runs as `postgres` or `nobody`, because the server
//! refuses to run as root.
//!
//! Fast and not durable (`fsync = off`): nothing here tests what survives a crash of the real server.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use thiserror::Error as ThisError;

use crate::wire::{Address, Bend, Session};

/// Oldest major version that the engine is compared with.
const MAJOR_VERSION_MIN: u32 = 15;
const START_WITHIN: Duration = Duration::from_secs(60);
/// The port only names the socket.
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

/// `deadlock_timeout` makes the victim of a deadlock the statement that closed the cycle: by the time that the next
/// statement is sent, everyone who waited before has looked and found none.
const SETTINGS: &str = "
listen_addresses = ''
fsync = off
full_page_writes = off
synchronous_commit = off
autovacuum = off
deadlock_timeout = 1ms
max_connections = 200
shared_buffers = 32MB
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'ISO, MDY'
";

/// Back to a new database: no peers, the one schema and its grants.
const EMPTY: &str = "
do $$
declare
    found name;
begin
    perform pg_terminate_backend(pid, 5000) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid();
    for found in select nspname from pg_namespace where nspname !~ '^(pg_|information_schema)' loop
        execute format('drop schema %I cascade', found);
    end loop;
    create schema public authorization pg_database_owner;
    grant usage on schema public to public;
end
$$";

/// Why no real PostgreSQL could be had.
#[derive(Debug, ThisError)]
pub(crate) enum Error {
    #[error(
        "no PostgreSQL {MAJOR_VERSION_MIN} or newer was found (pg_config --bindir, /usr/lib/postgresql/*/bin, PATH). \
         Install one with: apt-get install postgresql"
    )]
    Missing,
    #[error("running as root, and there is no user `postgres` or `nobody` to run the server as")]
    NoUser,
    #[error("{what}: {source}")]
    Io { what: &'static str, source: io::Error },
    #[error("{what} failed:\n{output}")]
    Failed { what: &'static str, output: String },
}

/// The running server.
pub(crate) struct Cluster {
    directory: PathBuf,
    next_database: AtomicU32,
    idle_databases: Mutex<Vec<String>>,
    /// Holds the pipe whose end tells the keeper to clean up.
    _keeper: Child,
}

/// The server of this process, started at first use.
///
/// # Panics
/// When there is none to be had, with the reason.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start().unwrap_or_else(|error| panic!("{error}")))
}

impl Cluster {
    fn start() -> Result<Self, Error> {
        let binaries = find_binaries()?;
        let user = unprivileged_user()?;
        let as_user = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir("/");
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };

        let directory = std::env::temp_dir().join(format!("sumzero-pg-{}", std::process::id()));
        fs::create_dir(&directory).map_err(io_error("making the server's directory"))?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))
            .map_err(io_error("closing the server's directory"))?;
        if let Some((uid, gid)) = user {
            chown(&directory, Some(uid), Some(gid)).map_err(io_error("giving the directory away"))?;
        }

        let made = as_user(&binaries.join("initdb"))
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(directory.join("data"))
            .output()
            .map_err(io_error("running initdb"))?;
        if !made.status.success() {
            let output = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(Error::Failed {
                what: "initdb",
                output,
            });
        }
        let settings = format!(
            "{SETTINGS}unix_socket_directories = '{}'\nport = {PORT}\n",
            directory.display()
        );
        let file = directory.join("data/postgresql.auto.conf");
        fs::write(&file, settings).map_err(io_error("writing the settings"))?;

        let keeper = as_user(Path::new("/bin/sh"))
            .args(["-c", KEEPER, "keeper"])
            .args([&binaries, &directory])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(io_error("starting the keeper"))?;
        let cluster = Self {
            directory,
            next_database: AtomicU32::new(0),
            idle_databases: Mutex::default(),
            _keeper: keeper,
        };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    fn wait_until_ready(&self) -> Result<(), Error> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            match self.session("postgres", None) {
                Ok(session) => {
                    session.close();
                    return Ok(());
                }
                Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
                Err(error) => {
                    let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                    return Err(Error::Failed {
                        what: "starting PostgreSQL",
                        output: format!("{error}\n{log}"),
                    });
                }
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Address {
        Address::Unix {
            directory: self.directory.clone(),
            port: PORT,
        }
    }

    pub(crate) fn session(
        &self,
        database: &str,
        bend: Option<Bend>,
    ) -> Result<Session, Box<dyn std::error::Error>> {
        Ok(Session::open(&self.address(), "postgres", database, bend)?)
    }

    /// An empty database. They are used again: making one takes ten times as long as emptying one.
    pub(crate) fn take_database(&self) -> String {
        let used = self
            .idle_databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        used.unwrap_or_else(|| {
            let name = format!("suite_{}", self.next_database.fetch_add(1, Ordering::Relaxed));
            self.administer("postgres", &format!("create database {name} template template0"));
            name
        })
    }

    /// Ends what is still connected to a database, empties it and keeps it for the next.
    pub(crate) fn give_back_database(&self, name: &str) {
        self.administer("postgres", &format!("alter database {name} reset all"));
        self.administer(name, EMPTY);
        self.idle_databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(name.to_owned());
    }

    /// Removes the roles that scripts made: unlike all else they belong to the whole server. Whoever needs this must be
    /// the only user of roles.
    pub(crate) fn drop_roles(&self) {
        let mut session = self.session("postgres", None).expect("the server is up");
        let roles = session.must("select rolname from pg_roles where rolname !~ '^(pg_|postgres$)'");
        for row in &roles.results[0].rows {
            let name = String::from_utf8_lossy(row[0].as_deref().unwrap_or_default()).into_owned();
            session.must(&format!("drop role \"{name}\""));
        }
        session.close();
    }

    fn administer(&self, database: &str, statement: &str) {
        let mut session = self.session(database, None).expect("the server is up");
        session.must(statement);
        session.close();
    }
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
    let usable = candidates.into_iter().filter(|path| path.join("initdb").exists());
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
