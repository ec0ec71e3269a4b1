//! Access paths: conditions move to the last table they mention, inner joins are ordered so that indexes serve them,
//! and every scan picks the index that binds most.

use super::super::expr::{Compare, Expr};
use super::super::plan::{Access, Join, JoinKind, Keys, Node, Scan, SourceKind};
use super::conjuncts;
use crate::aws::aurora::catalog::{IndexDef, KeyPart};
use crate::aws::aurora::types::{Type, Value};

/// Distributes WHERE, orders joins, picks indexes. Returns the tree, what is left of WHERE, and whether the rows come
/// in the wanted order.
pub(super) fn optimise(
    node: Node,
    filter: Vec<Expr>,
    order: &[(Expr, bool, bool)],
    limited: bool,
) -> (Node, Vec<Expr>, bool) {
    let (mut leaves, mut conditions) = (Vec::new(), filter);
    let node = flatten(node, &mut leaves, &mut conditions);
    let mut node = match node {
        Some(outer) => {
            leaves.push(outer);
            None
        }
        None => None,
    };
    let single = leaves.len() == 1;
    let mut bound: Vec<std::ops::Range<usize>> = Vec::new();
    let mut presorted = false;
    while !leaves.is_empty() {
        let at = best(&leaves, &conditions, &bound);
        let mut leaf = leaves.remove(at);
        let places = places(&leaf);
        let ready = take_ready(&mut conditions, &bound, &places);
        push_down(&mut leaf, ready, &bound);
        presorted = choose(&mut leaf, &bound, if single { order } else { &[] }, limited);
        node = Some(match node {
            None => leaf,
            Some(left) => {
                let mut join = Join {
                    kind: JoinKind::Inner,
                    left,
                    right: leaf,
                    on: Vec::new(),
                    filter_after: Vec::new(),
                    right_places: places.clone(),
                    equal: Vec::new(),
                };
                hashable(&mut join, &bound);
                Node::Join(Box::new(join))
            }
        });
        bound.push(places);
    }
    let node = node.unwrap_or(Node::One);
    (node, conditions, presorted)
}

/// Takes inner joins apart into leaves and conditions. Outer joins stay whole, as leaves.
fn flatten(node: Node, leaves: &mut Vec<Node>, conditions: &mut Vec<Expr>) -> Option<Node> {
    match node {
        Node::One => None,
        Node::Join(join) if join.kind == JoinKind::Inner => {
            conditions.extend(join.on);
            for side in [join.left, join.right] {
                if let Some(leaf) = flatten(side, leaves, conditions) {
                    leaves.push(leaf);
                }
            }
            None
        }
        leaf => Some(leaf),
    }
}

fn places(node: &Node) -> std::ops::Range<usize> {
    match node {
        Node::One => 0..0,
        Node::Scan(s) => s.offset..s.offset + s.table.columns.len(),
        Node::Rows(s) => s.offset..s.offset + s.width,
        Node::Join(j) => {
            let (l, r) = (places(&j.left), places(&j.right));
            l.start.min(r.start)..l.end.max(r.end)
        }
    }
}

fn covered(e: &Expr, bound: &[std::ops::Range<usize>]) -> bool {
    let mut used = Vec::new();
    e.places(&mut used);
    used.iter().all(|p| bound.iter().any(|r| r.contains(p)))
}

/// Conditions that can be checked once these places are filled.
fn take_ready(
    conditions: &mut Vec<Expr>,
    bound: &[std::ops::Range<usize>],
    places: &std::ops::Range<usize>,
) -> Vec<Expr> {
    let mut have = bound.to_vec();
    have.push(places.clone());
    let (ready, rest) = std::mem::take(conditions)
        .into_iter()
        .partition(|c| covered(c, &have));
    *conditions = rest;
    ready
}

/// The leaf to take next: the one whose index is bound best by what is there, the earliest among equals.
fn best(leaves: &[Node], conditions: &[Expr], bound: &[std::ops::Range<usize>]) -> usize {
    let mut chosen = (usize::MAX, 0);
    for (at, leaf) in leaves.iter().enumerate() {
        let cost = match leaf {
            Node::Scan(scan) => {
                let mut have = bound.to_vec();
                have.push(places(leaf));
                let usable: Vec<&Expr> = conditions
                    .iter()
                    .chain(&scan.security)
                    .filter(|c| covered(c, &have))
                    .collect();
                match pick(scan, &usable, &[], false).0 {
                    Access::Index { index, equal, .. } => {
                        let def = scan.table.indexes.iter().find(|i| i.oid == index);
                        if def.is_some_and(|d| d.unique && equal.len() == d.parts.len()) {
                            0
                        } else if !equal.is_empty() {
                            1
                        } else {
                            3
                        }
                    }
                    Access::AnyOf { .. } => 2,
                    Access::Full => 5,
                }
            }
            // A lateral source needs what stands before it.
            Node::Rows(s) => match &s.kind {
                SourceKind::Query { lateral: true, .. } => 6,
                SourceKind::Unnest(args) | SourceKind::Function(_, args)
                    if args.iter().any(|a| !covered(a, bound)) =>
                {
                    6
                }
                SourceKind::Scalar(e) if !covered(e, bound) => 6,
                _ => 4,
            },
            Node::One => 0,
            Node::Join(_) => 5,
        };
        if cost < chosen.0 {
            chosen = (cost, at);
        }
    }
    chosen.1
}

/// Moves conditions into a leaf. `before` are the places filled when it runs.
fn push_down(node: &mut Node, conditions: Vec<Expr>, before: &[std::ops::Range<usize>]) {
    match node {
        Node::One => {}
        Node::Scan(s) => s.filter.extend(conditions),
        Node::Rows(s) => s.filter.extend(conditions),
        Node::Join(join) => {
            // Only the preserved side of an outer join may be filtered early; the rest waits until after it.
            let mut left_ready = Vec::new();
            let mut have = before.to_vec();
            have.push(places(&join.left));
            if join.kind == JoinKind::Left {
                let (ready, rest): (Vec<_>, Vec<_>) = conditions.into_iter().partition(|c| covered(c, &have));
                left_ready = ready;
                join.after(rest);
            } else {
                join.after(conditions);
            }
            push_down(&mut join.left, left_ready, before);
            settle_outer(join, before);
        }
    }
}

impl Join {
    /// Conditions on the joined row of an outer join.
    fn after(&mut self, conditions: Vec<Expr>) {
        self.filter_after.extend(conditions);
    }
}

/// Inside an outer join: ON goes into the nullable side, whose rows it decides about, and indexes are picked there.
fn settle_outer(join: &mut Join, before: &[std::ops::Range<usize>]) {
    choose_inside(&mut join.left, before);
    let mut have = before.to_vec();
    have.push(places(&join.left));
    if join.kind == JoinKind::Full {
        choose_inside(&mut join.right, before);
        return;
    }
    let on = std::mem::take(&mut join.on);
    match &mut join.right {
        Node::Scan(scan) => scan.filter.extend(on),
        Node::Rows(source) => source.filter.extend(on),
        Node::Join(inner) if inner.kind == JoinKind::Inner => {
            let node = std::mem::replace(&mut join.right, Node::One);
            let (mut leaves, mut conditions) = (Vec::new(), on);
            if let Some(leaf) = flatten(node, &mut leaves, &mut conditions) {
                leaves.push(leaf);
            }
            let mut bound = have.clone();
            let mut built: Option<Node> = None;
            while !leaves.is_empty() {
                let at = best(&leaves, &conditions, &bound);
                let mut leaf = leaves.remove(at);
                let here = places(&leaf);
                let ready = take_ready(&mut conditions, &bound, &here);
                push_down(&mut leaf, ready, &bound);
                choose(&mut leaf, &bound, &[], false);
                bound.push(here.clone());
                built = Some(match built {
                    None => leaf,
                    Some(left) => Node::Join(Box::new(Join {
                        kind: JoinKind::Inner,
                        left,
                        right: leaf,
                        on: Vec::new(),
                        filter_after: Vec::new(),
                        right_places: here,
                        equal: Vec::new(),
                    })),
                });
            }
            join.on = conditions;
            join.right = built.unwrap_or(Node::One);
        }
        Node::Join(_) => {
            join.on = on;
            choose_inside(&mut join.right, &have);
        }
        Node::One => join.on = on,
    }
    choose(&mut join.right, &have, &[], false);
    if matches!(join.right, Node::Scan(_) | Node::Rows(_)) {
        hashable(join, &have);
    }
}

fn choose_inside(node: &mut Node, before: &[std::ops::Range<usize>]) {
    match node {
        Node::Join(join) if join.kind == JoinKind::Inner => {
            let taken = std::mem::replace(node, Node::One);
            let (optimised, rest, _) = optimise(taken, Vec::new(), &[], false);
            *node = optimised;
            if let (Node::Join(j), false) = (&mut *node, rest.is_empty()) {
                j.on.extend(rest);
            }
        }
        Node::Join(join) => {
            choose_inside(&mut join.left, before);
            settle_outer(join, before);
        }
        other => _ = choose(other, before, &[], false),
    }
}

/// Equalities between the left places and a right side that no index serves: worth a hash table.
fn hashable(join: &mut Join, bound: &[std::ops::Range<usize>]) {
    let (filter, own) = match &join.right {
        Node::Scan(s) if matches!(s.access, Access::Full) => (&s.filter, places(&join.right)),
        Node::Rows(s) if !matches!(s.kind, SourceKind::Query { lateral: true, .. }) => {
            let lateral = match &s.kind {
                SourceKind::Unnest(a) | SourceKind::Function(_, a) => a.iter().any(|e| !covered(e, &[])),
                SourceKind::Scalar(e) => !covered(e, &[]),
                _ => false,
            };
            if lateral {
                return;
            }
            (&s.filter, places(&join.right))
        }
        _ => return,
    };
    let own = [own];
    for condition in filter {
        if let Expr::Compare(Compare::Eq, a, b) = condition {
            let sides = |l: &Expr, r: &Expr| {
                let mut used = Vec::new();
                l.places(&mut used);
                !used.is_empty() && covered(l, bound) && {
                    used.clear();
                    r.places(&mut used);
                    !used.is_empty() && covered(r, &own)
                }
            };
            if sides(a, b) {
                join.equal.push(((**a).clone(), (**b).clone()));
            } else if sides(b, a) {
                join.equal.push(((**b).clone(), (**a).clone()));
            }
        }
    }
}

fn choose(
    node: &mut Node,
    bound: &[std::ops::Range<usize>],
    order: &[(Expr, bool, bool)],
    limited: bool,
) -> bool {
    let Node::Scan(scan) = node else { return false };
    let mut have = bound.to_vec();
    have.push(scan.offset..scan.offset + scan.table.columns.len());
    let parts: Vec<&Expr> = scan
        .filter
        .iter()
        .chain(&scan.security)
        .filter(|c| covered(c, &have))
        .collect();
    let (access, presorted) = pick(scan, &parts, order, limited);
    scan.access = access;
    presorted
}

/// A condition as `column op key`, seen from one scan.
struct Bound<'a> {
    part: &'a Expr,
    op: Compare,
    key: &'a Expr,
}

fn own(scan: &Scan, e: &Expr) -> bool {
    let range = scan.offset..scan.offset + scan.table.columns.len();
    let mut used = Vec::new();
    e.places(&mut used);
    used.iter().any(|p| range.contains(p) || *p == usize::MAX)
}

/// A column under casts that keep the order of its values.
fn strip(e: &Expr) -> &Expr {
    match e {
        Expr::Cast(inner, from, to, -1, _)
            if (from.is_integer() && (to.is_integer() || *to == Type::Numeric))
                || (from.is_string() && to.is_string() && *from != Type::Bpchar && *to != Type::Bpchar) =>
        {
            strip(inner)
        }
        other => other,
    }
}

fn bounds<'a>(scan: &Scan, parts: &[&'a Expr]) -> Vec<Bound<'a>> {
    let mut out = Vec::new();
    for part in parts {
        if let Expr::Compare(op, a, b) = part {
            if *op == Compare::NotEq {
                continue;
            }
            if own(scan, a) && !own(scan, b) {
                out.push(Bound {
                    part: strip(a),
                    op: *op,
                    key: b,
                });
            } else if own(scan, b) && !own(scan, a) {
                out.push(Bound {
                    part: strip(b),
                    op: op.flipped(),
                    key: a,
                });
            }
        }
    }
    out
}

fn part_matches(scan: &Scan, part: &KeyPart, e: &Expr) -> bool {
    match (part, e) {
        (KeyPart::Column(c), Expr::Column(p)) => *p == scan.offset + c,
        (KeyPart::Expr(key, _), e) => shift(key.clone(), scan.offset).same_as(e),
        _ => false,
    }
}

/// Moves an expression over a table's row to the table's place in the flat row.
pub(super) fn shift(e: Expr, offset: usize) -> Expr {
    match e {
        Expr::Column(c) => Expr::Column(c + offset),
        other => other
            .map(&mut |part| Ok::<Expr, std::convert::Infallible>(shift(part, offset)))
            .unwrap_or_else(|never| match never {}),
    }
}

fn implied(scan: &Scan, index: &IndexDef, parts: &[&Expr]) -> bool {
    let Some((predicate, _)) = &index.predicate else {
        return true;
    };
    let mut wanted = Vec::new();
    conjuncts(shift(predicate.clone(), scan.offset), &mut wanted);
    wanted.iter().all(|w| parts.iter().any(|p| p.same_as(w)))
}

fn pick(scan: &Scan, parts: &[&Expr], order: &[(Expr, bool, bool)], limited: bool) -> (Access, bool) {
    let bounds = bounds(scan, parts);
    let mut best: (i32, Access, bool) = (0, Access::Full, false);
    for index in &scan.table.indexes {
        if !implied(scan, index, parts) {
            continue;
        }
        let mut equal = Vec::new();
        for part in &index.parts {
            let hit = bounds
                .iter()
                .find(|b| b.op == Compare::Eq && part_matches(scan, part, b.part));
            match hit {
                Some(b) => equal.push(b.key.clone()),
                None => break,
            }
        }
        let next = index.parts.get(equal.len());
        let side = |ops: [Compare; 2]| {
            next.and_then(|part| {
                bounds
                    .iter()
                    .find(|b| ops.contains(&b.op) && part_matches(scan, part, b.part))
                    .map(|b| (b.key.clone(), b.op == ops[1]))
            })
        };
        let low = side([Compare::Gt, Compare::GtEq]);
        let high = side([Compare::Lt, Compare::LtEq]);
        let (sorted, reverse) = sorts(scan, index, equal.len(), order);
        let whole = index.unique && equal.len() == index.parts.len();
        let mut score = if whole { 1000 } else { equal.len() as i32 * 20 };
        score += if low.is_some() || high.is_some() { 10 } else { 0 };
        score += i32::from(index.predicate.is_some() && score > 0) * 5;
        score += if sorted && (limited || score > 0) { 8 } else { 0 };
        if score > best.0 {
            let oid = index.oid;
            best = (
                score,
                Access::Index {
                    index: oid,
                    equal,
                    low,
                    high,
                    reverse: sorted && reverse,
                },
                sorted,
            );
        }
        if best.0 < 15
            && let Some(keys) = any_of(scan, index, parts)
        {
            best = (
                15,
                Access::AnyOf {
                    index: index.oid,
                    keys,
                },
                false,
            );
        }
    }
    (best.1, best.2)
}

/// `column = ANY(array)` and `column IN (list)` on the first column of an index.
fn any_of(scan: &Scan, index: &IndexDef, parts: &[&Expr]) -> Option<Keys> {
    let first = index.parts.first()?;
    parts.iter().find_map(|p| match p {
        Expr::AnyArray(Compare::Eq, left, array, false)
            if part_matches(scan, first, strip(left)) && !own(scan, array) =>
        {
            Some(Keys::Array((**array).clone()))
        }
        Expr::InList(left, list)
            if part_matches(scan, first, strip(left)) && !list.iter().any(|e| own(scan, e)) =>
        {
            Some(Keys::List(list.clone()))
        }
        _ => None,
    })
}

/// Whether an index delivers the wanted order after `fixed` equal columns, and backwards.
fn sorts(scan: &Scan, index: &IndexDef, fixed: usize, order: &[(Expr, bool, bool)]) -> (bool, bool) {
    if order.is_empty() {
        return (false, false);
    }
    let mut parts = index.parts.iter().skip(fixed);
    let mut direction = None;
    for (e, desc, nulls_first) in order {
        if desc != nulls_first || direction.is_some_and(|d| d != *desc) {
            return (false, false);
        }
        // A column held fixed by an equality sorts anything.
        if index.parts.iter().take(fixed).any(|p| part_matches(scan, p, e))
            || matches!(e, Expr::Const(Value::Null))
        {
            continue;
        }
        match parts.next() {
            Some(part) if part_matches(scan, part, e) => direction = Some(*desc),
            _ => return (false, false),
        }
    }
    (true, direction.unwrap_or(false))
}
