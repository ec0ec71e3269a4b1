//! CREATE INDEX.

use sqlparser::ast;

use super::{choose_name, exists};
use crate::aws::aurora::catalog::{IndexDef, KeyPart, Table};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::func;
use crate::aws::aurora::lock::{Mode, Tag};
use crate::aws::aurora::session::{Answer, Block, Session};
use crate::aws::aurora::sql::bind::{Binder, output_name, qualified};
use crate::aws::aurora::sql::expr::Expr;

fn refuse_options(c: &ast::CreateIndex) -> Result<()> {
    if let Some(using) = &c.using
        && !using.to_string().eq_ignore_ascii_case("btree")
    {
        return unsupported(format_args!("index method {using}"));
    }
    for (given, construct) in [
        (!c.include.is_empty(), "CREATE INDEX with INCLUDE"),
        (!c.with.is_empty(), "CREATE INDEX with storage parameters"),
        (
            !c.index_options.is_empty() || !c.alter_options.is_empty() || c.r#async,
            "an option of CREATE INDEX",
        ),
        (
            c.columns
                .iter()
                .any(|c| c.operator_class.is_some() || c.column.with_fill.is_some()),
            "an operator class",
        ),
    ] {
        if given {
            return unsupported(construct);
        }
    }
    Ok(())
}

impl Session {
    pub(in crate::aws::aurora::session) async fn create_index(
        &mut self,
        c: &ast::CreateIndex,
    ) -> Result<Answer> {
        const TAG: &str = "CREATE INDEX";
        self.check_writable(TAG)?;
        if c.concurrently && self.block != Block::Idle {
            return fail(
                code::ACTIVE_SQL_TRANSACTION,
                "CREATE INDEX CONCURRENTLY cannot run inside a transaction block",
            );
        }
        refuse_options(c)?;
        let table = self.table_named(&c.table_name)?;
        self.must_own(&table.owner, "table", &table.name)?;
        self.lock(Tag::Relation(table.oid), Mode::Share).await?;
        let table = self.table_named(&c.table_name)?;
        let catalog = self.catalog();
        let (mut parts, mut descending) = (Vec::new(), Vec::new());
        let (mut names, mut texts) = (Vec::new(), Vec::new());
        for column in &c.columns {
            let typed = self.with_settings(|s| {
                let mut binder = Binder::new(&catalog, s, &[]);
                let typed = binder.table_expr(&table, &column.column.expr, "index expressions")?;
                binder.settle(typed)
            })?;
            descending.push(matches!(column.column.options.sort, Some(ast::OrderBySort::Desc)));
            texts.push(column.column.expr.to_string());
            match typed.expr {
                Expr::Column(at) => {
                    names.push(table.columns[at].name.clone());
                    parts.push(KeyPart::Column(at));
                }
                other => {
                    if func::volatile(&other) {
                        return fail(
                            code::INVALID_OBJECT_DEFINITION,
                            "functions in index expression must be marked IMMUTABLE",
                        );
                    }
                    let name = output_name(&column.column.expr);
                    names.push(if name == "?column?" { "expr".into() } else { name });
                    parts.push(KeyPart::Expr(other, typed.ty));
                }
            }
        }
        let predicate = match &c.predicate {
            None => None,
            Some(e) => {
                let expr = self.condition(&catalog, &table, e, "index predicates")?;
                if func::volatile(&expr) {
                    return fail(
                        code::INVALID_OBJECT_DEFINITION,
                        "functions in index predicate must be marked IMMUTABLE",
                    );
                }
                Some((expr, e.to_string()))
            }
        };
        let name = match &c.name {
            Some(name) => {
                let (schema, name) = qualified(name)?;
                if schema.is_some() {
                    return fail(
                        code::SYNTAX_ERROR,
                        "syntax error: an index has no schema of its own",
                    );
                }
                if catalog.lookup(&table.schema, &name).is_some() {
                    if c.if_not_exists {
                        self.note(format!("relation \"{name}\" already exists, skipping"));
                        return Ok(Answer::tag(TAG));
                    }
                    return Err(exists(&name));
                }
                name
            }
            None => choose_name(&table.name, Some(&names.join("_")), "idx", |n| {
                catalog.lookup(&table.schema, n).is_some()
            }),
        };
        self.claim_name(&table.schema, &name, super::RELATION_NAMES)
            .await?;
        let def = IndexDef {
            oid: self.engine.state().new_oid(),
            name,
            parts,
            texts,
            descending,
            unique: c.unique,
            primary: false,
            constraint: false,
            nulls_equal: c.nulls_distinct == Some(false),
            predicate,
        };
        self.install_index((*table).clone(), def)?;
        Ok(Answer::tag(TAG))
    }

    /// Builds an index over the rows there are and adds it to the table.
    fn install_index(&mut self, mut table: Table, def: IndexDef) -> Result<()> {
        self.build_on_rows(&table, &def)?;
        table.indexes.push(def);
        self.put_table(table);
        Ok(())
    }

    /// Builds an index over the rows there are; 23505 if it is unique and they are not.
    pub(super) fn build_on_rows(&mut self, table: &Table, def: &IndexDef) -> Result<()> {
        self.refuse_duplicates(table, def)?;
        let missing: Vec<_> = table.columns.iter().map(|c| c.missing.clone()).collect();
        self.engine.state().build_index_padded(table.heap, def, &missing)
    }
}
