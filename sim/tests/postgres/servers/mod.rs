//! The servers under comparison, and fresh databases on them.
//!
//! The truth is a private real PostgreSQL. The subject is what `SUMZERO_PG_SUBJECT` names: `127.0.0.1:5432` for a server that
//! already listens there (user `postgres`, no password), `postgres` for the private PostgreSQL once more, which shows whether
//! the suites themselves are steady. Without it, the simulated engine, a new instance for each database.

mod engine;
mod postgres;
mod served;

use std::{net::SocketAddr, sync::OnceLock};

use sqlx::postgres::PgConnectOptions;

use crate::wire::{Address, Bend, Session};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The truth: a real PostgreSQL, one for this process.
    Postgres,
    /// The simulated engine in this process.
    Engine,
    /// A server that someone else has started.
    Served(SocketAddr),
}

impl Target {
    /// What the suites put on trial.
    ///
    /// # Panics
    /// When `SUMZERO_PG_SUBJECT` is not an address.
    pub(crate) fn subject() -> Self {
        static SUBJECT: OnceLock<Target> = OnceLock::new();
        *SUBJECT.get_or_init(|| match std::env::var("SUMZERO_PG_SUBJECT") {
            Ok(text) if text == "postgres" => Self::Postgres,
            Ok(text) => Self::Served(
                text.parse()
                    .unwrap_or_else(|_| panic!("not an address: {text:?}")),
            ),
            Err(_) => Self::Engine,
        })
    }

    /// An empty database on it.
    pub(crate) fn database(self) -> Database {
        match self {
            Self::Postgres => Database {
                target: self,
                address: postgres::cluster().address(),
                name: postgres::cluster().take_database(),
                bend: None,
                instance: None,
            },
            Self::Engine => {
                let instance = engine::Instance::start();
                Database {
                    target: self,
                    address: Address::Tcp(instance.address()),
                    name: "postgres".to_owned(),
                    bend: None,
                    instance: Some(instance),
                }
            }
            Self::Served(address) => Database {
                target: self,
                address: Address::Tcp(address),
                name: served::create_database(address),
                bend: None,
                instance: None,
            },
        }
    }
}

/// An empty database of a test's own until it is dropped.
pub(crate) struct Database {
    target: Target,
    address: Address,
    name: String,
    bend: Option<Bend>,
    /// The engine that serves this database alone, stopped with it.
    instance: Option<engine::Instance>,
}

impl Database {
    /// Falsifies every statement on its way: for negative controls.
    pub(crate) fn bent(mut self, bend: Bend) -> Self {
        self.bend = Some(bend);
        self
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A new session of the superuser.
    ///
    /// # Panics
    /// When the server does not let it in.
    pub(crate) fn session(&self) -> Session {
        let mut session = Session::open(&self.address, "postgres", &self.name, self.bend)
            .unwrap_or_else(|error| panic!("connecting to {:?}: {error}", self.target));
        if self.target == Target::Engine {
            // The private PostgreSQL has it in its settings: a deadlock is found before the next statement is sent.
            session.must("set deadlock_timeout = '1ms'");
        }
        session
    }

    /// How the real driver connects.
    pub(crate) fn options(&self) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .username("postgres")
            .database(&self.name);
        match &self.address {
            Address::Unix { directory, port } => options.socket(directory).port(*port),
            Address::Tcp(address) => options.host(&address.ip().to_string()).port(address.port()),
        }
    }

    /// Plans of the real server use indexes even on tiny tables, so that rows are locked in key order.
    pub(crate) fn prefer_indexes(&self) {
        // The price put on a forbidden scan would have every statement compiled: hence jit.
        let settings = [
            "enable_seqscan",
            "enable_bitmapscan",
            "enable_hashjoin",
            "enable_mergejoin",
            "jit",
        ];
        let statements = settings.map(|setting| format!("alter database {} set {setting} = off", self.name));
        match self.target {
            Target::Postgres => {
                let mut session = self.session();
                for statement in &statements {
                    session.must(statement);
                }
                session.close();
            }
            // It has no plans to choose from.
            Target::Engine => {}
            Target::Served(address) => served::try_each(address, &statements),
        }
    }

    /// Removes the roles that a script made.
    pub(crate) fn drop_with_roles(self) {
        let target = self.target;
        drop(self);
        match target {
            Target::Postgres => postgres::cluster().drop_roles(),
            Target::Engine => {}
            Target::Served(address) => served::drop_roles(address),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        match self.target {
            Target::Postgres => postgres::cluster().give_back_database(&self.name),
            Target::Engine => drop(self.instance.take()),
            Target::Served(address) => served::drop_database(address, &self.name),
        }
    }
}
