//! SET, RESET, SHOW, DISCARD, SET CONSTRAINTS.

use super::{Answer, Block, Session};
use crate::aws::aurora::error::{Error, Result, Severity, code, fail};
use crate::aws::aurora::exec::constraint;
use crate::aws::aurora::sql::bind::qualified;
use crate::aws::aurora::sql::command::{Command, Discard, Setting, SettingValue, TransactionMode};
use crate::aws::aurora::sql::plan::Output;
use crate::aws::aurora::types::{Type, Value};

/// The columns of SHOW.
pub(super) fn shown(setting: &Setting) -> Option<Vec<Output>> {
    let names: Vec<&str> = match setting {
        Setting::Show(name) => vec![spelled(name)],
        Setting::ShowAll => vec!["name", "setting", "description"],
        _ => return None,
    };
    Some(names.into_iter().map(Output::text).collect())
}

/// Some names are shown otherwise than they are looked up.
fn spelled(name: &str) -> &str {
    match name {
        "timezone" => "TimeZone",
        "datestyle" => "DateStyle",
        "intervalstyle" => "IntervalStyle",
        other => other,
    }
}

impl Session {
    pub(super) fn setting(&mut self, setting: &Setting) -> Result<Answer> {
        match setting {
            Setting::Set { name, value, local } => {
                if *local && self.block == Block::Idle {
                    self.warn("25P01", "SET LOCAL can only be used in transaction blocks");
                }
                self.assign_setting(name, value, *local)?;
                Ok(Answer::tag("SET"))
            }
            Setting::Characteristics(modes) => {
                for mode in modes {
                    let (name, value) = match mode {
                        TransactionMode::Isolation(_, words) => ("default_transaction_isolation", *words),
                        TransactionMode::ReadOnly(on) => ("default_transaction_read_only", on_off(*on)),
                        TransactionMode::Deferrable(on) => ("default_transaction_deferrable", on_off(*on)),
                    };
                    self.local.settings.borrow_mut().set(name, value, false)?;
                }
                Ok(Answer::tag("SET"))
            }
            Setting::Reset(name) => {
                self.local.settings.borrow_mut().reset(name)?;
                Ok(Answer::tag("RESET"))
            }
            Setting::ResetAll => {
                self.local.settings.borrow_mut().reset_all();
                Ok(Answer::tag("RESET"))
            }
            Setting::Show(name) => {
                let value = self.setting_value(name)?;
                Ok(Answer {
                    columns: shown(setting),
                    rows: vec![vec![Value::text(value)]],
                    tag: "SHOW".into(),
                })
            }
            Setting::ShowAll => {
                let all = self.local.settings.borrow().all();
                Ok(Answer {
                    columns: shown(setting),
                    rows: all
                        .into_iter()
                        .map(|(name, value)| vec![Value::text(name), Value::text(value), Value::text("")])
                        .collect(),
                    tag: "SHOW".into(),
                })
            }
        }
    }

    fn setting_value(&mut self, name: &str) -> Result<String> {
        let txn = self.txn();
        let read_only = txn.read_only;
        let value = match name {
            "transaction_isolation" => Some(self.local.isolation.get().to_string()),
            "transaction_read_only" => Some(on_off(read_only).to_string()),
            "is_superuser" => Some(on_off(self.catalog().is_superuser(&self.local.role())).to_string()),
            "session_authorization" => Some(self.local.session_user()),
            "role" => Some(
                self.local
                    .settings
                    .borrow()
                    .get("role")
                    .unwrap_or_else(|| "none".into()),
            ),
            _ => self.local.settings.borrow().get(name),
        };
        match value {
            Some(value) => Ok(value),
            None => super::settings::unknown(name),
        }
    }

    fn assign_setting(&mut self, name: &str, value: &SettingValue, local: bool) -> Result<()> {
        let SettingValue::Text(text) = value else {
            return match name {
                "transaction_isolation" | "transaction_read_only" => {
                    self.local.settings.borrow_mut().reset(name)
                }
                _ => self.local.settings.borrow_mut().set_default(name, local),
            };
        };
        match name {
            "role" if text != "none" => {
                let catalog = self.catalog();
                let user = self.local.session_user();
                self.known_role(text)?;
                if !catalog.is_superuser(&user) && !catalog.is_member(&user, text) {
                    return fail(
                        code::INSUFFICIENT_PRIVILEGE,
                        format!("permission denied to set role \"{text}\""),
                    );
                }
            }
            "session_authorization" => {
                let catalog = self.catalog();
                self.known_role(text)?;
                if !catalog.is_superuser(&self.local.user) && *text != self.local.user {
                    return fail(
                        code::INSUFFICIENT_PRIVILEGE,
                        format!("permission denied to set session authorization \"{text}\""),
                    );
                }
                self.local.settings.borrow_mut().set("role", "none", local)?;
            }
            "transaction_isolation" => {
                let words = super::settings::isolation_words(name, text)?;
                let level = super::transaction::Isolation::from_words(words);
                return self.set_modes(&[TransactionMode::Isolation(level, words)]);
            }
            "transaction_read_only" => {
                let on = matches!(text.as_str(), "on" | "true" | "yes" | "1");
                return self.set_modes(&[TransactionMode::ReadOnly(on)]);
            }
            _ => {}
        }
        self.local.settings.borrow_mut().set(name, text, local)
    }

    /// A role that SET names: PostgreSQL reports an unknown one as a bad value.
    fn known_role(&mut self, name: &str) -> Result<()> {
        if self.catalog().roles.contains_key(name) {
            return Ok(());
        }
        fail(
            code::INVALID_PARAMETER_VALUE,
            format!("role \"{name}\" does not exist"),
        )
    }

    pub(super) fn warn(&self, code: &'static str, message: &str) {
        let mut warning = Error::new(code, message);
        warning.severity = Severity::Warning;
        self.local.notice(*warning);
    }

    pub(super) fn note(&self, message: impl Into<String>) {
        let mut notice = Error::new("00000", message);
        notice.severity = Severity::Notice;
        self.local.notice(*notice);
    }

    pub(super) fn discard(&mut self, what: Discard) -> Result<Answer> {
        if what == Discard::All {
            if self.block != Block::Idle {
                return fail(
                    code::ACTIVE_SQL_TRANSACTION,
                    "DISCARD ALL cannot run inside a transaction block",
                );
            }
            let mut settings = self.local.settings.borrow_mut();
            settings.reset_all();
            settings.reset("role")?;
            settings.reset("session_authorization")?;
            drop(settings);
            self.prepared.retain(|name, _| name.is_empty());
            self.release_session_locks();
        }
        if matches!(what, Discard::All | Discard::Sequences) {
            self.local.current_values.borrow_mut().clear();
            self.local.last_sequence.set(None);
        }
        if matches!(what, Discard::All | Discard::Temp) {
            let schema = self.temp_schema();
            self.drop_schema_contents(&schema)?;
        }
        Ok(Answer::tag(match what {
            Discard::All => "DISCARD ALL",
            Discard::Plans => "DISCARD PLANS",
            Discard::Sequences => "DISCARD SEQUENCES",
            Discard::Temp => "DISCARD TEMP",
        }))
    }

    /// SET CONSTRAINTS: IMMEDIATE makes the checks that were put off now.
    pub(super) async fn set_constraints(&mut self, command: &Command) -> Result<Answer> {
        let Command::SetConstraints { names, deferred } = command else {
            return Ok(Answer::default());
        };
        if self.block == Block::Idle {
            self.warn("25P01", "SET CONSTRAINTS can only be used in transaction blocks");
        }
        if names.is_empty() {
            self.txn().constraints_deferred = Some(*deferred);
            self.txn().deferred_by_name.clear();
        }
        let catalog = self.catalog();
        for name in names {
            let (_, name) = qualified(name)?;
            let mut found = catalog
                .tables()
                .flat_map(|t| &t.foreign_keys)
                .filter(|fk| fk.name == name)
                .peekable();
            if found.peek().is_none() {
                return fail(
                    code::UNDEFINED_OBJECT,
                    format!("constraint \"{name}\" does not exist"),
                );
            }
            if found.any(|fk| !fk.deferrable) {
                return fail(
                    code::WRONG_OBJECT_TYPE,
                    format!("constraint \"{name}\" is not deferrable"),
                );
            }
            self.txn().deferred_by_name.insert(name, *deferred);
        }
        if !deferred {
            constraint::check_deferred(self).await?;
        }
        Ok(Answer::tag("SET CONSTRAINTS"))
    }
}

fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl Output {
    /// A column of text that comes from no table.
    pub(crate) fn text(name: &str) -> Output {
        Output {
            name: name.into(),
            ty: Type::Text,
            typmod: -1,
            origin: (0, 0),
        }
    }
}
