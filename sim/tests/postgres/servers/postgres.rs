//! A real PostgreSQL for this test process, shared by its tests, and its databases.
//!
//! Fast and not durable (`fsync = off`): nothing here tests what survives a crash of the real server.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use sumzero_postgres::Server;

use crate::wire::{Address, Bend, Session};

/// `deadlock_timeout` makes the victim of a deadlock the statement that closed the cycle: by the time that the next
/// statement is sent, everyone who waited before has looked and found none.
const SETTINGS: &str = "
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

/// The running server.
pub(crate) struct Cluster {
    server: Server,
    next_database: AtomicU32,
    idle_databases: Mutex<Vec<String>>,
}

/// The server of this process, started at first use.
///
/// # Panics
/// When there is none to be had, with the reason.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster {
        server: Server::start(SETTINGS).unwrap_or_else(|error| panic!("{error}")),
        next_database: AtomicU32::new(0),
        idle_databases: Mutex::default(),
    })
}

impl Cluster {
    /// Where it listens.
    pub(crate) fn address(&self) -> Address {
        Address::Unix {
            directory: self.server.socket().to_owned(),
            port: self.server.port(),
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
