//! One planned statement from its first lock to its last check.

use std::cell::RefCell;
use std::sync::Arc;

use super::query::{candidates, count};
use super::rows::{Locked, Target};
use super::{Ctx, Db, MUST_WAIT, Rows, Slots, Waits, constraint, eval_row, node, run};
use crate::aws::aurora::catalog::{Catalog, Object, Privilege};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::lock::Tag;
use crate::aws::aurora::session::{Answer, Session};
use crate::aws::aurora::sql::expr::Expr;
use crate::aws::aurora::sql::plan::{Body, Main, Modify, Needed, Plan, Query, Select, Unit, WaitPolicy};
use crate::aws::aurora::txn::View;
use crate::aws::aurora::types::Value;

/// What stays the same for all parts of a statement.
pub(in crate::aws::aurora) struct Running<'p> {
    pub(super) session: &'p mut Session,
    pub(super) plan: &'p Plan,
    pub(super) params: &'p [Value],
    pub(super) catalog: Arc<Catalog>,
    pub(super) view: View,
    pub(super) slots: Slots,
    pub(super) waits: RefCell<Waits>,
    /// Foreign-key events, checked when the statement is done.
    pub(super) events: Vec<constraint::Event>,
}

impl<'p> Running<'p> {
    /// A statement inside another: a foreign key's cascade.
    pub(super) fn new(
        session: &'p mut Session,
        plan: &'p Plan,
        params: &'p [Value],
        view: View,
    ) -> Running<'p> {
        let catalog = session.catalog();
        Running {
            session,
            plan,
            params,
            catalog,
            view,
            slots: RefCell::new(vec![None; plan.slots]),
            waits: RefCell::default(),
            events: Vec::new(),
        }
    }

    /// Runs a synchronous part against the state of the world.
    pub(super) fn with<T>(&mut self, f: impl FnOnce(&Ctx<'_>) -> Result<T>) -> Result<T> {
        let engine = self.session.engine.clone();
        let state = engine.state();
        let serializable = self.session.txn.as_ref().and_then(|t| t.serializable);
        let db = Db {
            state: &state,
            catalog: &self.catalog,
            local: &self.session.local,
            view: &self.view,
            slots: &self.slots,
            units: &self.plan.units,
            waits: &self.waits,
            serializable,
        };
        f(&Ctx::new(db, self.params))
    }

    /// The same, doing the waits that functions ask for and starting over after each.
    pub(super) async fn with_waits<T>(&mut self, f: impl Fn(&Ctx<'_>) -> Result<T>) -> Result<T> {
        loop {
            self.waits.borrow_mut().rewind();
            match self.with(|ctx| f(ctx)) {
                Err(e) if e.code == MUST_WAIT => {
                    let pending = self.waits.borrow_mut().take();
                    if let Some(pending) = pending {
                        self.session.wait_pending(pending).await?;
                    }
                }
                other => return other,
            }
        }
    }

    fn keep(&self, slot: usize, rows: Rows) {
        if let Some(place) = self.slots.borrow_mut().get_mut(slot) {
            *place = Some(Arc::new(rows));
        }
    }

    async fn query(&mut self, query: &Query) -> Result<Rows> {
        match &query.body {
            Body::Select(s) if !s.marks.is_empty() => self.locking_query(query, s).await,
            _ => self.with_waits(|ctx| run(ctx, query, None, None)).await,
        }
    }

    /// SELECT ... FOR UPDATE: rows in order, each locked and checked again, until LIMIT is satisfied.
    async fn locking_query(&mut self, query: &Query, s: &Select) -> Result<Rows> {
        let limit = self.with(|ctx| count(ctx, query.limit.as_ref(), None, false))?;
        let offset = self
            .with(|ctx| count(ctx, query.offset.as_ref(), None, true))?
            .unwrap_or(0);
        let wanted = limit.map(|l| l.saturating_add(offset));
        let mut rows: Rows = Vec::new();
        let mut done = 0;
        let mut batch = wanted;
        'fill: while wanted.is_none_or(|w| rows.len() < w) {
            let list = self.with_waits(|ctx| candidates(ctx, query, s, batch)).await?;
            let total = list.len();
            for mut candidate in list.into_iter().skip(done) {
                done += 1;
                let mut changed = false;
                let mut dropped = false;
                for mark in &s.marks {
                    let tid = candidate.flat.tids.get(mark.scan).copied().unwrap_or(0);
                    let Some(scan) = find_scan(&s.from, mark.scan) else {
                        continue;
                    };
                    if tid == 0 {
                        continue;
                    }
                    let target = Target {
                        heap: scan.table.heap,
                        tid,
                        lock: mark.lock,
                        name: &scan.table.name,
                    };
                    match self.lock_row(target, mark.wait).await? {
                        Locked::Held { tid: held } if held == tid => {}
                        Locked::Held { tid: held } => {
                            changed = true;
                            let row = self.with(|ctx| {
                                let heap = ctx.db()?.state.heaps.get(&scan.table.heap);
                                Ok(heap.and_then(|h| h.get(held)).map(|t| t.row.clone()))
                            })?;
                            match row {
                                Some(row) => node::fill(&mut candidate.flat, scan, held, &row),
                                None => dropped = true,
                            }
                        }
                        Locked::Gone | Locked::Skipped | Locked::Own => {
                            dropped = true;
                            break;
                        }
                    }
                }
                if dropped {
                    continue;
                }
                if changed {
                    let params = self.params;
                    _ = params;
                    let flat = &mut candidate.flat;
                    let output = self.with(|ctx| {
                        let env = super::Env::of(&flat.row);
                        let still = super::eval::all_hold(ctx, &s.filter, &env)?;
                        if !still || !node::recheck(ctx, &s.from, flat)? {
                            return Ok(None);
                        }
                        eval_row(ctx, &s.output, &super::Env::of(&flat.row)).map(Some)
                    })?;
                    match output {
                        Some(output) => rows.push(output),
                        None => continue,
                    }
                } else {
                    rows.push(candidate.output);
                }
                if wanted.is_some_and(|w| rows.len() >= w) {
                    break 'fill;
                }
            }
            match batch {
                Some(n) if total >= n => batch = Some(n.saturating_mul(4).max(16)),
                _ => break,
            }
        }
        rows.drain(..offset.min(rows.len()));
        if query.hidden() {
            let visible = query.visible();
            rows.iter_mut().for_each(|r| r.truncate(visible));
        }
        Ok(rows)
    }

    async fn modify(&mut self, modify: &Modify) -> Result<(Rows, usize)> {
        match modify {
            Modify::Insert(insert) => self.insert(insert).await,
            Modify::Update(update) => self.update(update).await,
            Modify::Delete(delete) => self.delete(delete).await,
        }
    }
}

/// The scan with a number.
pub(super) fn find_scan(
    node: &crate::aws::aurora::sql::plan::Node,
    number: usize,
) -> Option<&crate::aws::aurora::sql::plan::Scan> {
    use crate::aws::aurora::sql::plan::Node;
    match node {
        Node::Scan(s) if s.number == number => Some(s),
        Node::Join(j) => find_scan(&j.left, number).or_else(|| find_scan(&j.right, number)),
        _ => None,
    }
}

/// Runs a plan.
pub(in crate::aws::aurora) async fn execute(
    session: &mut Session,
    plan: &Plan,
    params: &[Value],
) -> Result<Answer> {
    plan.check()?;
    check_rights(session, &plan.needed)?;
    if let Some(command) = plan.writes {
        session.check_writable(command)?;
    }
    for (oid, mode) in &plan.relations {
        session.lock(Tag::Relation(*oid), *mode).await?;
    }
    let view = {
        let engine = session.engine.clone();
        let mut state = engine.state();
        session.view(&mut state)
    };
    let mut running = Running::new(session, plan, params, view);
    for unit in &plan.units {
        match unit {
            Unit::Query {
                slot,
                query,
                eager: true,
            } => {
                let rows = running.query(query).await?;
                running.keep(*slot, rows);
            }
            Unit::Modify {
                slot,
                modify,
                used: true,
            } => {
                let (rows, _) = running.modify(modify).await?;
                running.keep(*slot, rows);
            }
            _ => {}
        }
    }
    let mut answer = Answer {
        columns: plan.columns.clone(),
        rows: Vec::new(),
        tag: String::new(),
    };
    match &plan.main {
        Main::Query(query) => {
            answer.rows = running.query(query).await?;
            answer.tag = format!("SELECT {}", answer.rows.len());
        }
        Main::Modify(modify) => {
            let (rows, touched) = running.modify(modify).await?;
            answer.rows = rows;
            answer.tag = match modify {
                Modify::Insert(_) => format!("INSERT 0 {touched}"),
                Modify::Update(_) => format!("UPDATE {touched}"),
                Modify::Delete(_) => format!("DELETE {touched}"),
            };
        }
    }
    for unit in &plan.units {
        if let Unit::Modify {
            modify, used: false, ..
        } = unit
        {
            running.modify(modify).await?;
        }
    }
    let events = std::mem::take(&mut running.events);
    let session = running.session;
    if plan.writes.is_some() {
        session.txn().cid += 1;
    }
    constraint::after_statement(session, events).await?;
    Ok(answer)
}

/// Evaluates an expression over one row, outside any statement.
pub(in crate::aws::aurora) fn evaluate(session: &mut Session, e: &Expr, row: &[Value]) -> Result<Value> {
    let plan = Plan::empty();
    let view = {
        let engine = session.engine.clone();
        let state = engine.state();
        View {
            csn: state.clog.csn,
            xids: session.txn().xids.clone(),
            cid: session.txn().cid,
        }
    };
    let mut running = Running::new(session, &plan, &[], view);
    match running.with(|ctx| super::eval(ctx, e, &super::Env::of(row))) {
        Err(e) if e.code == MUST_WAIT => unsupported("a function that waits, outside a query"),
        other => other,
    }
}

fn denied(kind: &str, name: &str) -> Box<crate::aws::aurora::error::Error> {
    crate::aws::aurora::error::Error::new(
        code::INSUFFICIENT_PRIVILEGE,
        format!("permission denied for {kind} {name}"),
    )
}

fn check_rights(session: &mut Session, needed: &[Needed]) -> Result<()> {
    let catalog = session.catalog();
    let current = session.local.role();
    for need in needed {
        let role = need.role.as_deref().unwrap_or(&current);
        if catalog.is_superuser(role) {
            continue;
        }
        let roles = catalog.member_of(role);
        let (owner, acl, schema, name, kind) = match catalog.objects.get(&need.oid) {
            Some(Object::Table(t)) => (&t.owner, &t.acl, &t.schema, &t.name, "table"),
            Some(Object::View(v)) => (&v.owner, &v.acl, &v.schema, &v.name, "view"),
            Some(Object::Sequence(s)) => (&s.owner, &s.acl, &s.schema, &s.name, "sequence"),
            _ => continue,
        };
        if let Some(schema) = catalog.schemas.get(schema)
            && !roles.contains(&schema.owner)
            && !schema.acl.allows(&roles, Privilege::USAGE)
        {
            return Err(denied(
                "schema",
                &catalog.objects.get(&need.oid).map_or_else(String::new, |_| {
                    catalog
                        .table(need.oid)
                        .map_or_else(String::new, |t| t.schema.clone())
                }),
            ));
        }
        if roles.contains(owner) || acl.allows(&roles, need.rights) {
            continue;
        }
        let by_column = if need.columns.is_empty() {
            // Reading no column, or only locking rows: the right to any one column is enough.
            [Privilege::SELECT, Privilege::UPDATE].contains(&need.rights)
                && acl.allows_any_column(&roles, need.rights)
        } else {
            need.columns
                .iter()
                .all(|c| acl.allows_column(&roles, c, need.rights))
        };
        if !by_column {
            return Err(denied(kind, name));
        }
    }
    Ok(())
}

/// Fails when a lock is held and the statement said NOWAIT.
pub(super) fn would_block<T>(policy: WaitPolicy, name: &str) -> Result<Option<T>> {
    match policy {
        WaitPolicy::NoWait => fail(
            code::LOCK_NOT_AVAILABLE,
            format!("could not obtain lock on row in relation \"{name}\""),
        ),
        _ => Ok(None),
    }
}
