//! What a result column is called when nobody says.

use sqlparser::ast::{self, SetExpr};

use super::{data_type, fold};
use crate::aws::aurora::types::Type;

/// How good a name is: a cast's type name gives way to a better one inside the cast.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    None,
    Weak,
    Strong,
}

/// The column name PostgreSQL would pick.
pub(crate) fn output_name(e: &ast::Expr) -> String {
    figure(e).0
}

fn none() -> (String, Strength) {
    ("?column?".into(), Strength::None)
}

fn strong(name: impl Into<String>) -> (String, Strength) {
    (name.into(), Strength::Strong)
}

fn cast(inner: (String, Strength), ty: &ast::DataType) -> (String, Strength) {
    if inner.1 == Strength::Strong {
        return inner;
    }
    let name = data_type(ty).map_or_else(|_| ty.to_string().to_lowercase(), |(ty, _)| type_name(ty));
    (name, Strength::Weak)
}

fn figure(e: &ast::Expr) -> (String, Strength) {
    match e {
        ast::Expr::Identifier(i) => strong(fold(i)),
        ast::Expr::CompoundIdentifier(parts) => strong(parts.last().map(fold).unwrap_or_default()),
        ast::Expr::Nested(inner) => figure(inner),
        ast::Expr::Function(f) => {
            let name = f.name.0.last().and_then(|p| p.as_ident()).map(fold);
            strong(match name.unwrap_or_default() {
                name if name == "trim" => "btrim".into(),
                name => name,
            })
        }
        ast::Expr::Cast { expr, data_type, .. } => cast(figure(expr), data_type),
        ast::Expr::TypedString(t) => cast(none(), &t.data_type),
        ast::Expr::Interval(_) => ("interval".into(), Strength::Weak),
        ast::Expr::Case { else_result, .. } => match else_result.as_deref().map(figure) {
            Some(name) if name.1 == Strength::Strong => name,
            _ => ("case".into(), Strength::Weak),
        },
        ast::Expr::Exists { negated: false, .. } => strong("exists"),
        ast::Expr::Subquery(q) => match &*q.body {
            SetExpr::Select(s) => match s.projection.first() {
                Some(ast::SelectItem::UnnamedExpr(e)) => figure(e),
                Some(ast::SelectItem::ExprWithAlias { alias, .. }) => strong(fold(alias)),
                _ => none(),
            },
            SetExpr::Values(_) => strong("column1"),
            _ => none(),
        },
        ast::Expr::Array(_) => strong("array"),
        ast::Expr::Extract { .. } => strong("extract"),
        ast::Expr::Substring { shorthand: true, .. } => strong("substr"),
        ast::Expr::Substring { .. } => strong("substring"),
        ast::Expr::Position { .. } => strong("position"),
        ast::Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        ast::Expr::Ceil { .. } => strong("ceil"),
        ast::Expr::Floor { .. } => strong("floor"),
        ast::Expr::Overlay { .. } => strong("overlay"),
        ast::Expr::AtTimeZone { .. } => strong("timezone"),
        ast::Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|a| match a {
                ast::AccessExpr::Dot(ast::Expr::Identifier(i)) => Some(fold(i)),
                _ => None,
            });
            field.map_or_else(|| figure(root), strong)
        }
        ast::Expr::Collate { expr, .. } => figure(expr),
        ast::Expr::Tuple(_) => strong("row"),
        _ => none(),
    }
}

/// A type as it names a column: the short name of the element.
fn type_name(ty: Type) -> String {
    crate::aws::aurora::catalog::system::type_name(ty.elem().unwrap_or(ty))
}
