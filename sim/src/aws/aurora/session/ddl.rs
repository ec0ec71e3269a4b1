//! Indexes, ALTER TABLE, roles, rights and row security policies.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlparser::ast::{self, AlterColumnOperation, AlterTableOperation, GrantObjects, Statement};

use super::{Answer, Session};
use crate::aws::aurora::catalog::{
    Catalog, Column, IndexDef, KeyPart, Object, Policy, PolicyCommand, Privilege, Role, Table, Touched,
};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::exec::{Ctx, Env, eval};
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::sql::bind::{Binder, column_type, fold, qualified, resolve};
use crate::aws::aurora::sql::expr::Expr;
use crate::aws::aurora::state::index_key;
use crate::aws::aurora::txn::View;
use crate::aws::aurora::types::{CastContext, Key, Type, Value};

impl Session {
    fn table_named(&mut self, name: &ast::ObjectName) -> Result<Arc<Table>> {
        let (schema, name) = qualified(name)?;
        let catalog = self.catalog();
        match resolve(&catalog, &self.local.search_path(), schema.as_deref(), &name)? {
            Object::Table(t) => Ok(t.clone()),
            _ => fail(code::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a table")),
        }
    }

    pub(super) fn must_own(&mut self, owner: &str, kind: &str, name: &str) -> Result<()> {
        let catalog = self.catalog();
        let role = self.local.role();
        if catalog.is_superuser(&role) || catalog.is_member(&role, owner) {
            return Ok(());
        }
        fail(
            code::INSUFFICIENT_PRIVILEGE,
            format!("must be owner of {kind} {name}"),
        )
    }

    /// Applies a change to a copy of the catalog and makes it this transaction's.
    fn change(&mut self, touched: Touched, f: impl FnOnce(&mut Catalog)) {
        let mut next = (*self.catalog()).clone();
        f(&mut next);
        let engine = self.engine.clone();
        let mut state = engine.state();
        self.write_xid(&mut state);
        self.txn().set_catalog(&state, next, [touched]);
    }

    pub(super) async fn ddl(&mut self, s: &Statement) -> Result<Option<Answer>> {
        let tag = match s {
            Statement::CreateIndex(c) => self.create_index(c).await?,
            Statement::AlterTable(a) => self.alter_table(a).await?,
            Statement::CreateRole(c) => {
                self.check_writable("CREATE ROLE")?;
                for name in &c.names {
                    let (_, name) = qualified(name)?;
                    if self.catalog().roles.contains_key(&name) {
                        return fail(code::DUPLICATE_OBJECT, format!("role \"{name}\" already exists"));
                    }
                    let oid = self.engine.state().new_oid();
                    let role = Role {
                        superuser: c.superuser == Some(true),
                        bypass_rls: c.bypassrls == Some(true),
                        login: c.login == Some(true),
                        create_role: c.create_role == Some(true),
                        create_db: c.create_db == Some(true),
                        inherit: c.inherit != Some(false),
                        ..Role::new(oid, &name)
                    };
                    self.change(Touched::Role(name.clone()), |k| {
                        _ = k.roles.insert(name, Arc::new(role))
                    });
                }
                "CREATE ROLE"
            }
            Statement::Grant(g) => {
                self.rights(&g.privileges, g.objects.as_ref(), &g.grantees, true)?;
                "GRANT"
            }
            Statement::Revoke(r) => {
                self.rights(&r.privileges, r.objects.as_ref(), &r.grantees, false)?;
                "REVOKE"
            }
            Statement::Set(ast::Set::SetRole {
                role_name,
                context_modifier,
            }) => {
                let local = matches!(context_modifier, Some(ast::ContextModifier::Local));
                match role_name.as_ref().map(fold) {
                    None => self.local.settings.borrow_mut().set("role", "none", local)?,
                    Some(name) => {
                        let catalog = self.catalog();
                        catalog.role(&name)?;
                        let user = self.local.session_user();
                        if !catalog.is_superuser(&user) && !catalog.is_member(&user, &name) {
                            return fail(
                                code::INSUFFICIENT_PRIVILEGE,
                                format!("permission denied to set role \"{name}\""),
                            );
                        }
                        self.local.settings.borrow_mut().set("role", &name, local)?;
                    }
                }
                "SET"
            }
            Statement::Reset(r) => {
                let mut settings = self.local.settings.borrow_mut();
                match &r.reset {
                    ast::Reset::ALL => settings.reset_all(),
                    ast::Reset::ConfigurationParameter(name) => settings.reset(&name.to_string())?,
                    ast::Reset::SessionAuthorization => settings.reset("session_authorization")?,
                }
                "RESET"
            }
            Statement::CreatePolicy(p) => {
                self.check_writable("CREATE POLICY")?;
                let table = self.table_named(&p.table_name)?;
                self.must_own(&table.owner, "table", &table.name)?;
                self.lock(Tag::Relation(table.oid), Mode::AccessExclusive).await?;
                let mut changed = (*table).clone();
                let name = fold(&p.name);
                if changed.policies.iter().any(|have| have.name == name) {
                    return fail(
                        code::DUPLICATE_OBJECT,
                        format!("policy \"{name}\" for table \"{}\" already exists", table.name),
                    );
                }
                let mut roles = Vec::new();
                for owner in p.to.iter().flatten() {
                    match owner {
                        ast::Owner::Ident(i) if fold(i) == "public" => {}
                        ast::Owner::Ident(i) => roles.push(fold(i)),
                        _ => roles.push(self.local.role()),
                    }
                }
                changed.policies.push(Policy {
                    name,
                    command: match p.command {
                        None | Some(ast::CreatePolicyCommand::All) => PolicyCommand::All,
                        Some(ast::CreatePolicyCommand::Select) => PolicyCommand::Select,
                        Some(ast::CreatePolicyCommand::Insert) => PolicyCommand::Insert,
                        Some(ast::CreatePolicyCommand::Update) => PolicyCommand::Update,
                        Some(ast::CreatePolicyCommand::Delete) => PolicyCommand::Delete,
                    },
                    permissive: !matches!(p.policy_type, Some(ast::CreatePolicyType::Restrictive)),
                    roles,
                    using: p.using.clone(),
                    check: p.with_check.clone(),
                });
                changed.policies.sort_by(|a, b| a.name.cmp(&b.name));
                self.change(Touched::Relation(table.oid), |k| k.put_table(changed));
                "CREATE POLICY"
            }
            _ => return Ok(None),
        };
        Ok(Some(Answer::tag(tag)))
    }

    /// Keys of the rows visible now; fails with 23505 on a duplicate.
    fn refuse_duplicates(&mut self, table: &Table, def: &IndexDef) -> Result<()> {
        if !def.unique {
            return Ok(());
        }
        let engine = self.engine.clone();
        let state = engine.state();
        let view = View {
            csn: state.clog.csn,
            xids: self.txn().xids.clone(),
            cid: u32::MAX,
        };
        let mut seen = BTreeSet::new();
        for (_, tuple) in state.heaps.get(&table.heap).into_iter().flat_map(|h| h.iter()) {
            if !view.sees(tuple, &state.clog) {
                continue;
            }
            let row = padded(table, &tuple.row);
            if let Some(key) = index_key(&def.parts, def.predicate.as_ref().map(|p| &p.0), &row)?
                && !key.iter().any(Value::is_null)
                && !seen.insert(Key(key))
            {
                return Err(crate::aws::aurora::error::Error::new(
                    code::UNIQUE_VIOLATION,
                    format!("could not create unique index \"{}\"", def.name),
                )
                .table(&table.schema, &table.name)
                .constraint(&def.name));
            }
        }
        Ok(())
    }

    async fn create_index(&mut self, c: &ast::CreateIndex) -> Result<&'static str> {
        self.check_writable("CREATE INDEX")?;
        if !c.include.is_empty() || c.nulls_distinct == Some(false) || !c.with.is_empty() {
            return unsupported("CREATE INDEX with INCLUDE, WITH or NULLS NOT DISTINCT");
        }
        if c.using
            .as_ref()
            .is_some_and(|u| !u.to_string().eq_ignore_ascii_case("btree"))
        {
            return unsupported("an index method other than btree");
        }
        let table = self.table_named(&c.table_name)?;
        self.must_own(&table.owner, "table", &table.name)?;
        self.lock(Tag::Relation(table.oid), Mode::Share).await?;
        let table = self.table_named(&c.table_name)?;
        let catalog = self.catalog();
        let (mut parts, mut descending, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for column in &c.columns {
            let typed = self.with_settings(|s| {
                Binder::new(&catalog, s, &[]).table_expr(&table, &column.column.expr, "index expressions")
            })?;
            descending.push(matches!(column.column.options.sort, Some(ast::OrderBySort::Desc)));
            match typed.expr {
                Expr::Column(at) => {
                    names.push(table.columns[at].name.clone());
                    parts.push(KeyPart::Column(at));
                }
                other => {
                    names.push("expr".into());
                    parts.push(KeyPart::Expr(other, typed.ty));
                }
            }
        }
        let predicate = match &c.predicate {
            None => None,
            Some(e) => {
                let expr = self.with_settings(|s| -> Result<Expr> {
                    let mut binder = Binder::new(&catalog, s, &[]);
                    let typed = binder.table_expr(&table, e, "index predicates")?;
                    Ok(binder.coerce(typed, Type::Bool, -1, CastContext::Implicit)?.expr)
                })?;
                Some((expr, e.to_string()))
            }
        };
        let name = match &c.name {
            Some(name) => qualified(name)?.1,
            None => format!("{}_{}_idx", table.name, names.join("_")),
        };
        if catalog.lookup(&table.schema, &name).is_some() {
            if c.if_not_exists {
                return Ok("CREATE INDEX");
            }
            return fail(
                code::DUPLICATE_TABLE,
                format!("relation \"{name}\" already exists"),
            );
        }
        let oid = self.engine.state().new_oid();
        let def = IndexDef {
            oid,
            name,
            parts,
            descending,
            unique: c.unique,
            primary: false,
            constraint: false,
            nulls_equal: false,
            predicate,
        };
        self.install_index(&table, def)?;
        Ok("CREATE INDEX")
    }

    fn install_index(&mut self, table: &Table, def: IndexDef) -> Result<()> {
        self.refuse_duplicates(table, &def)?;
        let missing: Vec<Value> = table.columns.iter().map(|c| c.missing.clone()).collect();
        self.engine
            .state()
            .build_index_padded(table.heap, &def, &missing)?;
        let mut changed = table.clone();
        changed.indexes.push(def);
        self.change(Touched::Relation(table.oid), |k| k.put_table(changed));
        Ok(())
    }

    async fn alter_table(&mut self, a: &ast::AlterTable) -> Result<&'static str> {
        self.check_writable("ALTER TABLE")?;
        let table = match self.table_named(&a.name) {
            Ok(table) => table,
            Err(_) if a.if_exists => return Ok("ALTER TABLE"),
            Err(e) => return Err(e),
        };
        self.must_own(&table.owner, "table", &table.name)?;
        self.lock(Tag::Relation(table.oid), Mode::AccessExclusive).await?;
        for operation in &a.operations {
            let table = self.table_named(&a.name)?;
            let mut t = (*table).clone();
            match operation {
                AlterTableOperation::EnableRowLevelSecurity => t.row_security = true,
                AlterTableOperation::DisableRowLevelSecurity => t.row_security = false,
                AlterTableOperation::ForceRowLevelSecurity => t.force_row_security = true,
                AlterTableOperation::NoForceRowLevelSecurity => t.force_row_security = false,
                AlterTableOperation::AddColumn {
                    if_not_exists,
                    column_def,
                    ..
                } => {
                    let name = fold(&column_def.name);
                    if t.column(&name).is_some() {
                        if *if_not_exists {
                            continue;
                        }
                        return fail(
                            code::DUPLICATE_COLUMN,
                            format!("column \"{name}\" of relation \"{}\" already exists", t.name),
                        );
                    }
                    self.add_column(&mut t, column_def)?;
                }
                AlterTableOperation::DropConstraint { if_exists, name, .. } => {
                    let name = fold(name);
                    let before = (t.checks.len(), t.foreign_keys.len(), t.indexes.len());
                    t.checks.retain(|c| c.name != name);
                    t.foreign_keys.retain(|c| c.name != name);
                    t.indexes.retain(|i| !(i.constraint && i.name == name));
                    if before == (t.checks.len(), t.foreign_keys.len(), t.indexes.len()) && !if_exists {
                        return fail(
                            code::UNDEFINED_OBJECT,
                            format!("constraint \"{name}\" of relation \"{}\" does not exist", t.name),
                        );
                    }
                }
                AlterTableOperation::AddConstraint {
                    constraint,
                    not_valid: false,
                } => {
                    self.add_table_constraint(&table, constraint)?;
                    continue;
                }
                AlterTableOperation::AlterColumn { column_name, op } => {
                    let name = fold(column_name);
                    let Some(at) = t.column(&name) else {
                        return fail(
                            code::UNDEFINED_COLUMN,
                            format!("column \"{name}\" of relation \"{}\" does not exist", t.name),
                        );
                    };
                    match op {
                        AlterColumnOperation::DropNotNull => t.columns[at].not_null = false,
                        AlterColumnOperation::DropDefault => t.columns[at].default = None,
                        AlterColumnOperation::SetNotNull => {
                            if self.any_row(&table, |row| row[at].is_null()) {
                                return fail(
                                    code::NOT_NULL_VIOLATION,
                                    format!(
                                        "column \"{name}\" of relation \"{}\" contains null values",
                                        t.name
                                    ),
                                );
                            }
                            t.columns[at].not_null = true;
                        }
                        other => return unsupported(format_args!("ALTER COLUMN {other}")),
                    }
                }
                other => return unsupported(format_args!("ALTER TABLE {other}")),
            }
            self.change(Touched::Relation(table.oid), |k| k.put_table(t));
        }
        Ok("ALTER TABLE")
    }

    fn any_row(&mut self, table: &Table, test: impl Fn(&[Value]) -> bool) -> bool {
        let engine = self.engine.clone();
        let state = engine.state();
        let view = View {
            csn: state.clog.csn,
            xids: self.txn().xids.clone(),
            cid: u32::MAX,
        };
        let mut rows = state.heaps.get(&table.heap).into_iter().flat_map(|h| h.iter());
        rows.any(|(_, tuple)| view.sees(tuple, &state.clog) && test(&padded(table, &tuple.row)))
    }

    fn add_column(&mut self, t: &mut Table, def: &ast::ColumnDef) -> Result<()> {
        let (ty, typmod, serial) = column_type(&def.data_type)?;
        if serial {
            return unsupported("ADD COLUMN of a serial type");
        }
        let mut column = Column {
            name: fold(&def.name),
            ty,
            typmod,
            not_null: false,
            default: None,
            identity: None,
            generated: None,
            missing: Value::Null,
            dropped: false,
        };
        let catalog = self.catalog();
        for option in &def.options {
            match &option.option {
                ast::ColumnOption::Null => {}
                ast::ColumnOption::NotNull => column.not_null = true,
                ast::ColumnOption::Default(e) => {
                    let expr = self.with_settings(|s| -> Result<Expr> {
                        let mut binder = Binder::new(&catalog, s, &[]);
                        let typed = binder.constant_expr(e, "DEFAULT")?;
                        Ok(binder.coerce(typed, ty, typmod, CastContext::Assignment)?.expr)
                    })?;
                    match &expr {
                        Expr::Const(v) => column.missing = v.clone(),
                        // A computed default would need every old row written anew.
                        _ if self.any_row(t, |_| true) => {
                            return unsupported("ADD COLUMN with a default that is not a constant");
                        }
                        _ => {}
                    }
                    column.default = Some((expr, e.to_string()));
                }
                other => return unsupported(format_args!("ADD COLUMN with {other}")),
            }
        }
        if column.not_null && column.missing.is_null() && self.any_row(t, |_| true) {
            return fail(
                code::NOT_NULL_VIOLATION,
                format!(
                    "column \"{}\" of relation \"{}\" contains null values",
                    column.name, t.name
                ),
            );
        }
        t.columns.push(column);
        Ok(())
    }

    fn add_table_constraint(&mut self, table: &Table, constraint: &ast::TableConstraint) -> Result<()> {
        let foreign = matches!(constraint, ast::TableConstraint::ForeignKey(_));
        if foreign && self.any_row(table, |_| true) {
            return unsupported("ADD FOREIGN KEY to a table that has rows");
        }
        let mut next = (*self.catalog()).clone();
        let mut t = table.clone();
        let (checks, indexes) = (t.checks.len(), t.indexes.len());
        let mut touched = vec![Touched::Relation(t.oid)];
        self.add_constraint(&mut next, &mut t, constraint, &[], &mut touched)?;
        if let Some(check) = t.checks.get(checks) {
            let fails = |row: &[Value]| {
                matches!(
                    eval(&Ctx::pure(), &check.expr, &Env::of(row)),
                    Ok(Value::Bool(false)) | Err(_)
                )
            };
            if self.any_row(table, fails) {
                return fail(
                    code::CHECK_VIOLATION,
                    format!(
                        "check constraint \"{}\" of relation \"{}\" is violated by some row",
                        check.name, t.name
                    ),
                );
            }
        }
        if let Some(def) = t.indexes.get(indexes).cloned() {
            self.refuse_duplicates(table, &def)?;
            let missing: Vec<Value> = table.columns.iter().map(|c| c.missing.clone()).collect();
            self.engine
                .state()
                .build_index_padded(table.heap, &def, &missing)?;
        }
        next.put_table(t);
        let engine = self.engine.clone();
        let mut state = engine.state();
        self.write_xid(&mut state);
        self.txn().set_catalog(&state, next, touched);
        Ok(())
    }

    fn rights(
        &mut self,
        privileges: &ast::Privileges,
        objects: Option<&GrantObjects>,
        grantees: &[ast::Grantee],
        give: bool,
    ) -> Result<()> {
        self.check_writable(if give { "GRANT" } else { "REVOKE" })?;
        let mut names = Vec::new();
        for g in grantees {
            let name = match &g.name {
                None => String::new(),
                Some(ast::GranteeName::ObjectName(n)) => match qualified(n)?.1 {
                    n if n == "public" => String::new(),
                    n => n,
                },
                Some(other) => return unsupported(format_args!("grantee {other}")),
            };
            if !name.is_empty() {
                self.catalog().role(&name)?;
            }
            names.push(name);
        }
        let mut list: Vec<(Privilege, Vec<String>)> = Vec::new();
        match privileges {
            ast::Privileges::All { .. } => list.push((
                Privilege::TABLE | Privilege::USAGE | Privilege::CREATE,
                Vec::new(),
            )),
            ast::Privileges::Actions(actions) => {
                for action in actions {
                    let columns = |c: &Option<Vec<ast::Ident>>| c.iter().flatten().map(fold).collect();
                    list.push(match action {
                        ast::Action::Select { columns: c } => (Privilege::SELECT, columns(c)),
                        ast::Action::Insert { columns: c } => (Privilege::INSERT, columns(c)),
                        ast::Action::Update { columns: c } => (Privilege::UPDATE, columns(c)),
                        ast::Action::References { columns: c } => (Privilege::REFERENCES, columns(c)),
                        ast::Action::Delete => (Privilege::DELETE, Vec::new()),
                        ast::Action::Truncate => (Privilege::TRUNCATE, Vec::new()),
                        ast::Action::Usage => (Privilege::USAGE, Vec::new()),
                        ast::Action::Create { .. } => (Privilege::CREATE, Vec::new()),
                        other => return unsupported(format_args!("privilege {other}")),
                    });
                }
            }
        }
        let Some(GrantObjects::Tables(tables)) = objects else {
            return unsupported("GRANT or REVOKE on anything but tables");
        };
        for name in tables {
            let table = self.table_named(name)?;
            self.must_own(&table.owner, "table", &table.name)?;
            let mut t = (*table).clone();
            for role in &names {
                for (right, columns) in &list {
                    match (give, columns.is_empty()) {
                        (true, true) => t.acl.grant(role, *right),
                        (false, true) => t.acl.revoke(role, *right),
                        (true, false) => columns.iter().for_each(|c| t.acl.grant_column(role, c, *right)),
                        (false, false) => columns.iter().for_each(|c| t.acl.revoke_column(role, c, *right)),
                    }
                }
            }
            self.change(Touched::Relation(table.oid), |k| k.put_table(t));
        }
        Ok(())
    }
}

fn padded(table: &Table, row: &[Value]) -> Vec<Value> {
    table
        .columns
        .iter()
        .enumerate()
        .map(|(i, c)| row.get(i).unwrap_or(&c.missing).clone())
        .collect()
}
