//! Statements that are run without a plan: DDL and settings.

use sqlparser::ast::{self, ColumnOption, ObjectType, Statement, TableConstraint};

use super::{Answer, Session};
use crate::aws::aurora::catalog::{
    Acl, Check, Column, ForeignKey, Identity, IndexDef, KeyPart, Object, RefAction, Sequence, Table, Touched,
};
use crate::aws::aurora::error::{Error, Result, code, fail, unsupported};
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::sql::bind::{Binder, column_type, fold, qualified, resolve, statement_name};
use crate::aws::aurora::sql::expr::Expr;
use crate::aws::aurora::sql::plan::Output;
use crate::aws::aurora::types::{CastContext, Type, Value};

impl Session {
    pub(super) fn utility_columns(&self, s: &Statement) -> Option<Vec<Output>> {
        let Statement::ShowVariable { variable } = s else {
            return None;
        };
        let name = variable.last().map(fold).unwrap_or_default();
        Some(vec![Output {
            name,
            ty: Type::Text,
            typmod: -1,
            origin: (0, 0),
        }])
    }

    pub(super) async fn utility(&mut self, s: &Statement, _params: &[Value]) -> Result<Answer> {
        if let Some(answer) = self.ddl(s).await? {
            return Ok(answer);
        }
        match s {
            Statement::Set(ast::Set::SingleAssignment {
                scope,
                hivevar: false,
                variable,
                values,
            }) => {
                let name = variable.to_string().to_lowercase();
                let text = values.iter().map(word).collect::<Vec<_>>().join(", ");
                let local = matches!(scope, Some(ast::ContextModifier::Local));
                self.local.settings.borrow_mut().set(&name, &text, local)?;
                Ok(Answer::tag("SET"))
            }
            Statement::ShowVariable { variable } => {
                let name = variable.iter().map(fold).collect::<Vec<_>>().join(".");
                let isolation = self.txn().isolation.words();
                let value = match name.as_str() {
                    "transaction_isolation" | "transaction.isolation.level" => Some(isolation.to_string()),
                    _ => self.local.settings.borrow().get(&name),
                };
                let Some(value) = value else {
                    return fail(
                        code::UNDEFINED_OBJECT,
                        format!("unrecognized configuration parameter \"{name}\""),
                    );
                };
                let columns = self.utility_columns(s);
                Ok(Answer {
                    columns,
                    rows: vec![vec![Value::text(value)]],
                    tag: "SHOW".into(),
                })
            }
            Statement::CreateTable(c) => self.create_table(c).await,
            Statement::Drop {
                object_type: ObjectType::Table,
                if_exists,
                names,
                ..
            } => {
                self.check_writable("DROP TABLE")?;
                for name in names {
                    self.drop_table(name, *if_exists).await?;
                }
                Ok(Answer::tag("DROP TABLE"))
            }
            other => unsupported(statement_name(other)),
        }
    }

    async fn drop_table(&mut self, name: &ast::ObjectName, if_exists: bool) -> Result<()> {
        let (schema, name) = qualified(name)?;
        let catalog = self.catalog();
        let path = self.local.search_path();
        let table = match resolve(&catalog, &path, schema.as_deref(), &name) {
            Ok(Object::Table(t)) => t.clone(),
            Ok(_) => return fail(code::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a table")),
            Err(_) if if_exists => return Ok(()),
            Err(_) => return fail(code::UNDEFINED_TABLE, format!("table \"{name}\" does not exist")),
        };
        self.must_own(&table.owner, "table", &table.name)?;
        self.lock(Tag::Relation(table.oid), Mode::AccessExclusive).await?;
        if table
            .referenced_by
            .iter()
            .any(|o| *o != table.oid && catalog.table(*o).is_some())
        {
            return fail(
                code::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop table {name} because other objects depend on it"),
            );
        }
        let mut next = (*catalog).clone();
        let mut touched = vec![Touched::Relation(table.oid)];
        let owned: Vec<u32> = catalog
            .objects
            .values()
            .filter_map(|o| match o {
                Object::Sequence(s) if s.owned_by.is_some_and(|(t, _)| t == table.oid) => Some(s.oid),
                _ => None,
            })
            .collect();
        for sequence in owned {
            next.remove(sequence);
            touched.push(Touched::Relation(sequence));
        }
        next.remove(table.oid);
        let engine = self.engine.clone();
        let mut state = engine.state();
        self.write_xid(&mut state);
        self.txn()
            .set_catalog(&state, next, [Touched::Relation(table.oid)]);
        Ok(())
    }

    async fn create_table(&mut self, c: &ast::CreateTable) -> Result<Answer> {
        self.check_writable("CREATE TABLE")?;
        if c.query.is_some()
            || c.like.is_some()
            || c.inherits.is_some()
            || c.partition_by.is_some()
            || c.temporary
        {
            return unsupported("CREATE TABLE with AS, LIKE, INHERITS, PARTITION BY or TEMPORARY");
        }
        let (schema, name) = qualified(&c.name)?;
        let schema = schema.unwrap_or_else(|| "public".into());
        let catalog = self.catalog();
        let role = self.local.role();
        match catalog.schemas.get(&schema) {
            None => {
                return fail(
                    code::INVALID_SCHEMA_NAME,
                    format!("schema \"{schema}\" does not exist"),
                );
            }
            Some(s) => {
                let roles = catalog.member_of(&role);
                let may = roles.contains(&s.owner)
                    || s.acl
                        .allows(&roles, crate::aws::aurora::catalog::Privilege::CREATE);
                if !catalog.is_superuser(&role) && !may {
                    return fail(
                        code::INSUFFICIENT_PRIVILEGE,
                        format!("permission denied for schema {schema}"),
                    );
                }
            }
        }
        if catalog.lookup(&schema, &name).is_some() {
            if c.if_not_exists {
                return Ok(Answer::tag("CREATE TABLE"));
            }
            return fail(
                code::DUPLICATE_TABLE,
                format!("relation \"{name}\" already exists"),
            );
        }
        let engine = self.engine.clone();
        let mut next = (*catalog).clone();
        let mut touched = Vec::new();
        let (oid, heap) = {
            let mut state = engine.state();
            let xid = self.write_xid(&mut state);
            let (oid, heap) = (state.new_oid(), state.new_heap());
            self.txn().heaps.push((xid, heap));
            (oid, heap)
        };
        let mut table = Table {
            oid,
            schema: schema.clone(),
            name: name.clone(),
            owner: self.local.role(),
            heap,
            columns: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            referenced_by: Vec::new(),
            acl: Acl::default(),
            row_security: false,
            force_row_security: false,
            policies: Vec::new(),
            temporary: false,
        };
        let mut constraints: Vec<(TableConstraint, Vec<String>)> = Vec::new();
        for def in &c.columns {
            let (ty, typmod, serial) = column_type(&def.data_type)?;
            let column_name = fold(&def.name);
            if table.column(&column_name).is_some() {
                return fail(
                    code::DUPLICATE_COLUMN,
                    format!("column \"{column_name}\" specified more than once"),
                );
            }
            let mut column = Column {
                name: column_name.clone(),
                ty,
                typmod,
                not_null: serial,
                default: None,
                identity: None,
                generated: None,
                missing: Value::Null,
                dropped: false,
            };
            let mut sequence = serial;
            for option in &def.options {
                match &option.option {
                    ColumnOption::Null => {}
                    ColumnOption::NotNull => column.not_null = true,
                    ColumnOption::Default(e) => {
                        let text = e.to_string();
                        let expr = self.with_settings(|s| -> Result<Expr> {
                            let mut binder = Binder::new(&next, s, &[]);
                            let typed = binder.constant_expr(e, "DEFAULT")?;
                            Ok(binder.coerce(typed, ty, typmod, CastContext::Assignment)?.expr)
                        })?;
                        column.default = Some((expr, text));
                    }
                    ColumnOption::Generated {
                        generated_as,
                        generation_expr: None,
                        ..
                    } => {
                        column.identity = Some(match generated_as {
                            ast::GeneratedAs::Always => Identity::Always,
                            _ => Identity::ByDefault,
                        });
                        column.not_null = true;
                        sequence = true;
                    }
                    ColumnOption::PrimaryKey(p) => {
                        constraints.push((TableConstraint::PrimaryKey(p.clone()), vec![column_name.clone()]));
                    }
                    ColumnOption::Unique(u) => {
                        constraints.push((TableConstraint::Unique(u.clone()), vec![column_name.clone()]));
                    }
                    ColumnOption::Check(k) => {
                        constraints.push((TableConstraint::Check(k.clone()), vec![column_name.clone()]));
                    }
                    ColumnOption::ForeignKey(k) => {
                        constraints.push((TableConstraint::ForeignKey(k.clone()), vec![column_name.clone()]));
                    }
                    other => return unsupported(format_args!("column option {other}")),
                }
            }
            if sequence {
                let seq = engine.state().new_oid();
                next.put_sequence(Sequence {
                    oid: seq,
                    schema: schema.clone(),
                    name: format!("{name}_{column_name}_seq"),
                    owner: table.owner.clone(),
                    increment: 1,
                    min: 1,
                    max: if ty == Type::Int4 {
                        i64::from(i32::MAX)
                    } else {
                        i64::MAX
                    },
                    start: 1,
                    cycle: false,
                    owned_by: Some((oid, table.columns.len())),
                    acl: Acl::default(),
                });
                touched.push(Touched::Relation(seq));
                let Some(next_value) = crate::aws::aurora::func::find("nextval").first().copied() else {
                    return unsupported("sequences");
                };
                let call = Expr::Call(next_value, vec![Expr::Const(Value::Oid(seq))]);
                let call = Expr::Cast(Box::new(call), Type::Int8, ty, -1, CastContext::Assignment);
                column.default = Some((call, format!("nextval('{name}_{column_name}_seq'::regclass)")));
            }
            table.columns.push(column);
        }
        constraints.extend(c.constraints.iter().map(|k| (k.clone(), Vec::new())));
        for (constraint, own) in constraints {
            self.add_constraint(&mut next, &mut table, &constraint, &own, &mut touched)?;
        }
        let mut state = engine.state();
        for index in &table.indexes {
            state.build_index(heap, index)?;
        }
        touched.push(Touched::Relation(oid));
        next.put_table(table);
        self.txn().set_catalog(&state, next, touched);
        Ok(Answer::tag("CREATE TABLE"))
    }

    pub(super) fn add_constraint(
        &mut self,
        next: &mut crate::aws::aurora::catalog::Catalog,
        table: &mut Table,
        constraint: &TableConstraint,
        own: &[String],
        touched: &mut Vec<Touched>,
    ) -> Result<()> {
        let undefined = |name: &str| {
            Error::new(
                code::UNDEFINED_COLUMN,
                format!("column \"{name}\" named in key does not exist"),
            )
        };
        let place = |table: &Table, name: &str| table.column(name).ok_or_else(|| undefined(name));
        let (columns, name, primary) = match constraint {
            TableConstraint::PrimaryKey(p) => (index_columns(&p.columns, own)?, p.name.as_ref(), true),
            TableConstraint::Unique(u) => (index_columns(&u.columns, own)?, u.name.as_ref(), false),
            TableConstraint::Check(k) => {
                let text = k.expr.to_string();
                let expr = self.with_settings(|s| -> Result<Expr> {
                    let mut binder = Binder::new(next, s, &[]);
                    let typed = binder.table_expr(table, &k.expr, "check constraint")?;
                    Ok(binder.coerce(typed, Type::Bool, -1, CastContext::Implicit)?.expr)
                })?;
                let middle = own.first().map_or(String::new(), |c| format!("_{c}"));
                let base = format!("{}{middle}_check", table.name);
                let mut name = k.name.as_ref().map_or(base.clone(), fold);
                let mut n = 0;
                while table.checks.iter().any(|c| c.name == name) {
                    n += 1;
                    name = format!("{base}{n}");
                }
                table.checks.push(Check {
                    name,
                    expr,
                    text,
                    valid: true,
                });
                return Ok(());
            }
            TableConstraint::ForeignKey(k) => {
                let names: Vec<String> = if k.columns.is_empty() {
                    own.to_vec()
                } else {
                    k.columns.iter().map(fold).collect()
                };
                let columns: Vec<usize> = names.iter().map(|n| place(table, n)).collect::<Result<_>>()?;
                let (schema, target) = qualified(&k.foreign_table)?;
                let mut target = if target == table.name {
                    table.clone()
                } else {
                    match resolve(next, &self.local.search_path(), schema.as_deref(), &target)? {
                        Object::Table(t) => (**t).clone(),
                        _ => return fail(code::WRONG_OBJECT_TYPE, "referenced relation is not a table"),
                    }
                };
                let target_columns: Vec<usize> = if k.referred_columns.is_empty() {
                    target
                        .primary_key()
                        .and_then(IndexDef::columns)
                        .unwrap_or_default()
                } else {
                    k.referred_columns
                        .iter()
                        .map(|n| place(&target, &fold(n)))
                        .collect::<Result<_>>()?
                };
                let sorted = |mut v: Vec<usize>| {
                    v.sort_unstable();
                    v
                };
                let wanted = sorted(target_columns.clone());
                let index = target
                    .indexes
                    .iter()
                    .find(|i| i.referable() && i.columns().map(sorted) == Some(wanted.clone()));
                let Some(target_index) = index.map(|i| i.oid) else {
                    return fail(
                        code::INVALID_FOREIGN_KEY,
                        format!(
                            "there is no unique constraint matching given keys for referenced table \"{}\"",
                            target.name
                        ),
                    );
                };
                let action = |a: Option<ast::ReferentialAction>| match a {
                    None | Some(ast::ReferentialAction::NoAction) => RefAction::NoAction,
                    Some(ast::ReferentialAction::Restrict) => RefAction::Restrict,
                    Some(ast::ReferentialAction::Cascade) => RefAction::Cascade,
                    Some(ast::ReferentialAction::SetNull) => RefAction::SetNull,
                    Some(ast::ReferentialAction::SetDefault) => RefAction::SetDefault,
                };
                let name = k
                    .name
                    .as_ref()
                    .map_or_else(|| format!("{}_{}_fkey", table.name, names.join("_")), fold);
                table.foreign_keys.push(ForeignKey {
                    name,
                    columns,
                    target: target.oid,
                    target_columns,
                    target_index,
                    on_delete: action(k.on_delete),
                    on_update: action(k.on_update),
                    deferrable: k
                        .characteristics
                        .as_ref()
                        .is_some_and(|c| c.deferrable == Some(true)),
                    deferred: k
                        .characteristics
                        .as_ref()
                        .is_some_and(|c| matches!(c.initially, Some(ast::DeferrableInitial::Deferred))),
                    valid: true,
                });
                if target.oid == table.oid {
                    table.referenced_by.push(table.oid);
                } else {
                    target.referenced_by.push(table.oid);
                    touched.push(Touched::Relation(target.oid));
                    next.put_table(target);
                }
                return Ok(());
            }
            other => return unsupported(format_args!("constraint {other}")),
        };
        let mut parts = Vec::new();
        for column in &columns {
            let at = place(table, column)?;
            table.columns[at].not_null |= primary;
            parts.push(KeyPart::Column(at));
        }
        let base = if primary {
            format!("{}_pkey", table.name)
        } else {
            format!("{}_{}_key", table.name, columns.join("_"))
        };
        table.indexes.push(IndexDef {
            oid: self.engine.state().new_oid(),
            name: name.map_or(base, fold),
            descending: vec![false; parts.len()],
            parts,
            unique: true,
            primary,
            constraint: true,
            nulls_equal: false,
            predicate: None,
        });
        Ok(())
    }
}

fn index_columns(columns: &[ast::IndexColumn], own: &[String]) -> Result<Vec<String>> {
    if columns.is_empty() {
        return Ok(own.to_vec());
    }
    columns
        .iter()
        .map(|c| match &c.column.expr {
            ast::Expr::Identifier(i) => Ok(fold(i)),
            other => unsupported(format_args!("constraint on {other}")),
        })
        .collect()
}

fn word(e: &ast::Expr) -> String {
    match e {
        ast::Expr::Value(v) => match &v.value {
            ast::Value::SingleQuotedString(s) => s.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}
