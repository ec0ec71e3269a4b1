//! A tenant's books in a database of a test's own.
//!
//! The server is a private PostgreSQL, or the one that `PAYMENTS_TEST_POSTGRES` names (`host:port`, superuser `postgres`,
//! database `postgres`, not yet migrated).

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, AtomicU64, Ordering},
};
use std::time::Duration;

use payments::{
    id::{AccountId, Fingerprint, IdempotencyKey, PaymentId, TenantId},
    ledger::{
        Account, Answer, Authority, Command, Grant, Grouping, Ledger, LedgerError, Mutation, Operation,
        Outcome, Payment, Reply, Request, Schema, Target, audit, migrate,
    },
    money::{Amount, Currency},
};
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

fn server() -> &'static sumzero_postgres::Server {
    static SERVER: OnceLock<sumzero_postgres::Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let settings = "fsync = off\nsynchronous_commit = off\nmax_connections = 300\nshared_buffers = 32MB";
        sumzero_postgres::Server::start(settings).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Where a new, empty database is, for the superuser.
fn new_database() -> PgConnectOptions {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let options = PgConnectOptions::new_without_pgpass().username("postgres");
    if let Ok(address) = std::env::var("PAYMENTS_TEST_POSTGRES") {
        let (host, port) = address.split_once(':').expect("host:port");
        return options
            .host(host)
            .port(port.parse().expect("a port"))
            .database("postgres");
    }
    let name = format!("books_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    server()
        .create_database(&name)
        .unwrap_or_else(|error| panic!("{error}"));
    options
        .socket(server().socket())
        .port(server().port())
        .database(&name)
}

/// The books of one tenant.
pub(crate) struct Books {
    pub(crate) ledger: Ledger,
    pub(crate) tenant: TenantId,
    pub(crate) grants: watch::Sender<Option<Grant>>,
    superuser: PgConnectOptions,
    next_key: AtomicU64,
}

impl Books {
    pub(crate) async fn open() -> Self {
        Self::grouped(Grouping::default()).await
    }

    pub(crate) async fn grouped(grouping: Grouping) -> Self {
        Self::at(Target::Expanded, Schema::default(), grouping).await
    }

    /// In a database that is migrated so far, for a process that writes this version of the schema.
    pub(crate) async fn at(target: Target, schema: Schema, grouping: Grouping) -> Self {
        let superuser = new_database();
        let mut connection = PgConnection::connect_with(&superuser).await.unwrap();
        migrate(&mut connection, "us-east-1", target).await.unwrap();
        let tenant = TenantId(Uuid::new_v4());
        add_tenant(&mut connection, tenant).await;
        let (grants, granted) = watch::channel(Some(Grant::lasting(1)));
        let ledger = Ledger::new(
            pool(&superuser),
            "us-east-1",
            schema,
            Authority::new(granted),
            grouping,
        );
        Self {
            ledger,
            tenant,
            grants,
            superuser,
            next_key: AtomicU64::new(1),
        }
    }

    /// Another process's way to the same books.
    pub(crate) fn second_process(&self) -> Ledger {
        self.process(Schema::default())
    }

    /// The way of another process that writes this version of the schema.
    pub(crate) fn process(&self, schema: Schema) -> Ledger {
        Ledger::new(
            pool(&self.superuser),
            "us-east-1",
            schema,
            Authority::new(self.grants.subscribe()),
            Grouping::default(),
        )
    }

    /// Speaks from now on for this tenant.
    pub(crate) async fn adopt(&mut self, tenant: TenantId) {
        add_tenant(&mut self.superuser().await, tenant).await;
        self.tenant = tenant;
    }

    /// The books of another tenant in the same database.
    pub(crate) async fn neighbour(&self) -> Self {
        let tenant = TenantId(Uuid::new_v4());
        add_tenant(&mut self.superuser().await, tenant).await;
        Self {
            ledger: self.ledger.clone(),
            tenant,
            grants: self.grants.clone(),
            superuser: self.superuser.clone(),
            next_key: AtomicU64::new(1),
        }
    }

    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect_with(&self.superuser).await.unwrap()
    }

    /// A session of the service's role, showing nothing yet.
    pub(crate) async fn service(&self) -> PgConnection {
        let options = self.superuser.clone().username("payments_service");
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// A pool of another role.
    pub(crate) fn pool(&self, role: &str) -> PgPool {
        let options = self.superuser.clone().username(role);
        PgPoolOptions::new().max_connections(8).connect_lazy_with(options)
    }

    /// A request under a key of its own.
    pub(crate) fn request(&self, what: &str) -> Request {
        let number = self.next_key.fetch_add(1, Ordering::Relaxed);
        self.request_named(&format!("key-{number}"), what)
    }

    pub(crate) fn request_named(&self, key: &str, what: &str) -> Request {
        let at = OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap();
        Request {
            tenant: self.tenant,
            key: IdempotencyKey::new(key).unwrap(),
            fingerprint: Fingerprint::of("POST", what, b""),
            at,
            lease_until: at + Duration::from_secs(30),
        }
    }

    pub(crate) async fn ask(&self, mutation: Mutation) -> Result<Reply, LedgerError> {
        let request = self.request(&format!("{mutation:?}"));
        self.ledger.submit(Command::Mutate(request, mutation)).await
    }

    pub(crate) async fn wallet(&self, currency: &str) -> AccountId {
        self.wallet_with_overdraft(currency, 0).await
    }

    pub(crate) async fn wallet_with_overdraft(&self, currency: &str, overdraft_limit: i64) -> AccountId {
        let request = self.request("open");
        let id = AccountId::of_request(self.tenant, &request.key);
        let open = Mutation::OpenAccount {
            currency: currency.parse().unwrap(),
            overdraft_limit,
        };
        let reply = self.ledger.submit(Command::Mutate(request, open)).await.unwrap();
        assert_eq!(answer(reply).status, 201);
        id
    }

    /// Asks for an operation that is to be carried out outside.
    pub(crate) async fn start(&self, mutation: Mutation) -> Operation {
        match self.ask(mutation).await.unwrap() {
            Reply::Started(operation, _) => operation,
            other => panic!("not started: {other:?}"),
        }
    }

    pub(crate) async fn resolve(&self, operation: &Operation, outcome: Outcome) -> Reply {
        let at = operation.created_at + Duration::from_secs(1);
        let command = Command::Resolve {
            operation: operation.id,
            fence: operation.fence,
            outcome,
            at,
            lease_until: at + Duration::from_secs(30),
        };
        self.ledger.submit(command).await.unwrap()
    }

    /// Does what a client asks for, the outside agreeing.
    pub(crate) async fn carry_out(&self, mutation: Mutation) -> PaymentId {
        let operation = self.start(mutation).await;
        assert!(matches!(
            self.resolve(&operation, done()).await,
            Reply::Resolved { .. }
        ));
        operation.id.payment
    }

    /// Puts money into a wallet.
    pub(crate) async fn fund(&self, wallet: AccountId, amount: i64, currency: &str) -> PaymentId {
        self.carry_out(charge(wallet, amount, currency, true)).await
    }

    pub(crate) async fn account(&self, id: AccountId) -> Account {
        self.ledger
            .account(self.tenant, id)
            .await
            .unwrap()
            .expect("the account is there")
    }

    pub(crate) async fn balance(&self, id: AccountId) -> i64 {
        self.account(id).await.balance()
    }

    pub(crate) async fn payment(&self, id: PaymentId) -> Payment {
        let found = self.ledger.payment(self.tenant, id).await.unwrap();
        found.expect("the payment is there").0
    }

    /// What must be true of every ledger at every time, read by an auditor who trusts no projection.
    pub(crate) async fn audit(&self) {
        assert_eq!(self.faults().await, Vec::<String>::new());
    }

    pub(crate) async fn faults(&self) -> Vec<String> {
        audit(&mut self.superuser().await).await.unwrap()
    }
}

async fn add_tenant(connection: &mut PgConnection, tenant: TenantId) {
    let insert = sqlx::query("insert into tenant (tenant_id, name) values ($1, 'a tenant')");
    insert.bind(tenant.0).execute(connection).await.unwrap();
}

fn pool(superuser: &PgConnectOptions) -> PgPool {
    let options = superuser.clone().username("payments_service");
    PgPoolOptions::new().max_connections(4).connect_lazy_with(options)
}

pub(crate) fn done() -> Outcome {
    Outcome::Succeeded {
        reference: "ref".to_owned(),
    }
}

pub(crate) fn refused() -> Outcome {
    Outcome::Declined {
        reason: "do_not_honor".to_owned(),
    }
}

pub(crate) fn amount(minor_units: i64) -> Amount {
    Amount::new(minor_units).unwrap()
}

pub(crate) fn charge(payee: AccountId, units: i64, currency: &str, capture: bool) -> Mutation {
    let currency: Currency = currency.parse().unwrap();
    Mutation::Charge {
        payee,
        amount: amount(units),
        currency,
        instrument: "tok_visa".to_owned(),
        capture,
    }
}

pub(crate) fn answer(reply: Reply) -> Answer {
    match reply {
        Reply::Answered(answer) | Reply::Replayed(answer) => answer,
        Reply::Resolved {
            answer: Some(answer), ..
        } => answer,
        other => panic!("no answer: {other:?}"),
    }
}
