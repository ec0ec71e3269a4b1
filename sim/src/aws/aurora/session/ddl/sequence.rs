//! CREATE SEQUENCE and ALTER SEQUENCE.

use super::exists;
use crate::aws::aurora::catalog::{Acl, Object, Oid, Sequence, Touched};
use crate::aws::aurora::error::{Result, code, fail};
use crate::aws::aurora::session::transaction::Restarted;
use crate::aws::aurora::session::{Answer, Session};
use crate::aws::aurora::sql::bind::{data_type, fold, qualified};
use crate::aws::aurora::sql::command::{Bound, SequenceChange, SequenceOption};
use crate::aws::aurora::types::Type;

fn range(ty: Type) -> (i64, i64) {
    match ty {
        Type::Int2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        Type::Int4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T> {
    fail(code::INVALID_PARAMETER_VALUE, message)
}

impl Session {
    /// An ascending sequence over a type's positive values.
    pub(super) fn new_sequence(&mut self, schema: &str, name: &str, ty: Type) -> Sequence {
        Sequence {
            oid: self.engine.state().new_oid(),
            schema: schema.to_string(),
            name: name.to_string(),
            owner: self.local.role(),
            ty,
            increment: 1,
            min: 1,
            max: range(ty).1,
            start: 1,
            cycle: false,
            owned_by: None,
            acl: Acl::default(),
        }
    }

    /// Puts a sequence back to where it begins. Unlike what is drawn from it, this is undone with its transaction.
    pub(super) fn restart_sequence(&mut self, oid: Oid, at: i64) {
        let engine = self.engine.clone();
        let mut state = engine.state();
        let xid = self.write_xid(&mut state);
        let before = state.sequences.get_mut().get(&oid).copied();
        self.txn().restarted.push(Restarted {
            xid,
            sequence: oid,
            before,
        });
        state.place_sequence(oid, Some((at, false)));
    }

    /// Applies options in PostgreSQL's order: what they default to depends on the direction.
    pub(super) fn apply_sequence_options(
        &mut self,
        s: &mut Sequence,
        options: &[SequenceOption],
        create: bool,
    ) -> Result<()> {
        let (mut min, mut max, mut start) = (None, None, None);
        for option in options {
            match option {
                SequenceOption::As(ty) => {
                    let (ty, _) = data_type(ty)?;
                    if !ty.is_integer() {
                        return invalid("sequence type must be smallint, integer, or bigint");
                    }
                    if s.max == range(s.ty).1 {
                        s.max = range(ty).1;
                    }
                    s.ty = ty;
                }
                SequenceOption::Increment(0) => return invalid("INCREMENT must not be zero"),
                SequenceOption::Increment(by) => s.increment = *by,
                SequenceOption::Min(bound) => min = Some(*bound),
                SequenceOption::Max(bound) => max = Some(*bound),
                SequenceOption::Start(at) => start = Some(*at),
                SequenceOption::Cycle(cycle) => s.cycle = *cycle,
                SequenceOption::Cache(n) if *n < 1 => {
                    return invalid(format!("CACHE ({n}) must be greater than zero"));
                }
                // PostgreSQL hands out cached values per session; with one in the cache there is no difference.
                SequenceOption::Cache(_) | SequenceOption::Restart(_) | SequenceOption::OwnedBy(_) => {}
            }
        }
        let up = s.increment > 0;
        let (low, high) = range(s.ty);
        match min {
            Some(Bound::At(n)) => s.min = n,
            Some(Bound::No) => s.min = if up { 1 } else { low },
            None if create => s.min = if up { 1 } else { low },
            None => {}
        }
        match max {
            Some(Bound::At(n)) => s.max = n,
            Some(Bound::No) => s.max = if up { high } else { -1 },
            None if create => s.max = if up { high } else { -1 },
            None => {}
        }
        if s.min < low || s.max > high {
            return invalid(format!(
                "MINVALUE or MAXVALUE is out of range for sequence data type {}",
                s.ty.name()
            ));
        }
        if s.min >= s.max {
            return invalid(format!(
                "MINVALUE ({}) must be less than MAXVALUE ({})",
                s.min, s.max
            ));
        }
        match start {
            Some(at) => s.start = at,
            None if create => s.start = if up { s.min } else { s.max },
            None => {}
        }
        if !(s.min..=s.max).contains(&s.start) {
            return invalid(format!(
                "START value ({}) is outside MINVALUE ({}) and MAXVALUE ({})",
                s.start, s.min, s.max
            ));
        }
        Ok(())
    }

    pub(in crate::aws::aurora::session) async fn change_sequence(
        &mut self,
        c: &SequenceChange,
    ) -> Result<Answer> {
        let tag = if c.create {
            "CREATE SEQUENCE"
        } else {
            "ALTER SEQUENCE"
        };
        self.check_writable(tag)?;
        let (schema, name) = qualified(&c.name)?;
        let mut sequence = if c.create {
            let schema = self.target_schema(schema)?;
            if self.catalog().lookup(&schema, &name).is_some() {
                if c.if_exists {
                    self.note(format!("relation \"{name}\" already exists, skipping"));
                    return Ok(Answer::tag(tag));
                }
                return Err(exists(&name));
            }
            self.claim_name(&schema, &name, super::RELATION_NAMES).await?;
            self.new_sequence(&schema, &name, Type::Int8)
        } else {
            match self.relation(&c.name) {
                Ok(Object::Sequence(s)) => (*s).clone(),
                Ok(_) => return fail(code::WRONG_OBJECT_TYPE, format!("\"{name}\" is not a sequence")),
                Err(_) if c.if_exists => return Ok(Answer::tag(tag)),
                Err(e) => return Err(e),
            }
        };
        self.must_own(&sequence.owner.clone(), "sequence", &name)?;
        self.apply_sequence_options(&mut sequence, &c.options, c.create)?;
        for option in &c.options {
            match option {
                SequenceOption::Restart(at) => {
                    let at = at.unwrap_or(sequence.start);
                    if !(sequence.min..=sequence.max).contains(&at) {
                        return invalid(format!(
                            "RESTART value ({at}) is outside MINVALUE ({}) and MAXVALUE ({})",
                            sequence.min, sequence.max
                        ));
                    }
                    self.restart_sequence(sequence.oid, at);
                }
                SequenceOption::OwnedBy(None) => sequence.owned_by = None,
                SequenceOption::OwnedBy(Some(column)) => {
                    let mut table = column.clone();
                    let last = table.0.pop();
                    let Some(column) = last.as_ref().and_then(|p| p.as_ident()).map(fold) else {
                        return fail(code::SYNTAX_ERROR, "invalid OWNED BY option");
                    };
                    let table = self.table_named(&table)?;
                    let Some(at) = table.column(&column) else {
                        return Err(super::no_column(&table, &column));
                    };
                    sequence.owned_by = Some((table.oid, at));
                }
                _ => {}
            }
        }
        self.change([Touched::Relation(sequence.oid)], |k| k.put_sequence(sequence));
        Ok(Answer::tag(tag))
    }
}
