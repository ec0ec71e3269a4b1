//! Window function calls.

use sqlparser::ast;

use super::super::expr::Expr;
use super::super::plan::{Window, WindowKind};
use super::{Binder, Typed, fold};
use crate::aws::aurora::error::{Result, code, fail, unsupported};
use crate::aws::aurora::types::{CastContext, Type};

impl Binder<'_> {
    pub(super) fn window(
        &mut self,
        name: &str,
        f: &ast::Function,
        list: Option<&ast::FunctionArgumentList>,
    ) -> Result<Typed> {
        if !self.scopes.last().is_some_and(|s| s.windows_allowed) {
            let clause = self.scopes.last().map_or("this place", |s| s.clause);
            return fail(
                code::WINDOWING_ERROR,
                format!("window functions are not allowed in {clause}"),
            );
        }
        let args = match list {
            Some(list) => self.plain_args(name, list)?,
            None => Vec::new(),
        };
        let mut args: Vec<Typed> = args.into_iter().map(|a| self.settle(a)).collect::<Result<_>>()?;
        let first = args.first().map_or(Type::Int8, |a| a.ty);
        let (kind, ty) = match (name, args.len()) {
            ("row_number", 0) => (WindowKind::RowNumber, Type::Int8),
            ("rank", 0) => (WindowKind::Rank, Type::Int8),
            ("dense_rank", 0) => (WindowKind::DenseRank, Type::Int8),
            ("lag", 1..=3) => (WindowKind::Lag, first),
            ("lead", 1..=3) => (WindowKind::Lead, first),
            ("first_value", 1) => (WindowKind::FirstValue, first),
            ("last_value", 1) => (WindowKind::LastValue, first),
            _ => return unsupported(format_args!("window function {name}")),
        };
        if let Some(offset) = args.get_mut(1) {
            *offset = self.coerce(offset.clone(), Type::Int4, -1, CastContext::Implicit)?;
        }
        if let Some(default) = args.get_mut(2) {
            *default = self.coerce(default.clone(), first, -1, CastContext::Implicit)?;
        }
        let args = args.into_iter().map(|a| a.expr).collect();
        self.push_window(kind, args, f, ty)
    }

    pub(super) fn push_window(
        &mut self,
        kind: WindowKind,
        args: Vec<Expr>,
        f: &ast::Function,
        ty: Type,
    ) -> Result<Typed> {
        let named = |b: &Self, name: &ast::Ident| {
            let name = fold(name);
            let found = b
                .scopes
                .last()
                .and_then(|s| s.named_windows.iter().find(|(n, _)| *n == name));
            match found {
                Some((_, spec)) => Ok(spec.clone()),
                None => fail(
                    code::UNDEFINED_OBJECT,
                    format!("window \"{name}\" does not exist"),
                ),
            }
        };
        let spec = match &f.over {
            Some(ast::WindowType::WindowSpec(spec)) => match &spec.window_name {
                None => spec.clone(),
                Some(name) => {
                    let mut base = named(self, name)?;
                    if !spec.order_by.is_empty() {
                        base.order_by.clone_from(&spec.order_by);
                    }
                    base
                }
            },
            Some(ast::WindowType::NamedWindow(name)) => named(self, name)?,
            None => return unsupported("a window function without OVER"),
        };
        if let Some(frame) = &spec.window_frame
            && !matches!(
                kind,
                WindowKind::RowNumber | WindowKind::Rank | WindowKind::DenseRank
            )
        {
            let default = frame.units == ast::WindowFrameUnits::Range
                && matches!(frame.start_bound, ast::WindowFrameBound::Preceding(None))
                && matches!(frame.end_bound, None | Some(ast::WindowFrameBound::CurrentRow));
            if !default {
                return unsupported("a window frame other than the default");
            }
        }
        let mut partition = Vec::new();
        for e in &spec.partition_by {
            let typed = self.expr(e)?;
            partition.push(self.settle(typed)?.expr);
        }
        let mut order = Vec::new();
        for item in &spec.order_by {
            let typed = self.expr(&item.expr)?;
            let typed = self.settle(typed)?;
            let (desc, nulls_first) = super::select::direction(&item.options)?;
            order.push((typed.expr, desc, nulls_first));
        }
        let Some(scope) = self.scopes.last_mut() else {
            return unsupported("a window function here");
        };
        scope.windows.push(Window {
            kind,
            args,
            partition,
            order,
        });
        Ok(Typed::new(Expr::Window(scope.windows.len() - 1), ty))
    }
}
