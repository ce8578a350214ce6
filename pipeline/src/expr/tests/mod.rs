//! Tests of the whole way from text to value.

mod behaviour;
mod mistakes;
mod oracle;
mod shortfall;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Ast, Constant, Environment, ExprError, List, Names, NotEvaluable, Param, Program, Slot, Unit,
    Zone, compile, parse,
};
use crate::event::{Type, Value};

/// The names of the tests; a row has a value for each, in this order.
const NAMES: [(&str, Type, Unit); 13] = [
    ("r.i", Type::Int, Unit::None),
    ("r.j", Type::Int, Unit::None),
    ("r.small", Type::Int, Unit::None),
    ("r.d", Type::Double, Unit::None),
    ("r.e", Type::Double, Unit::None),
    ("r.b", Type::Bool, Unit::None),
    ("r.c", Type::Bool, Unit::None),
    ("r.s", Type::Str, Unit::None),
    ("r.t", Type::Str, Unit::None),
    ("event_time", Type::Int, Unit::None),
    ("amount_fen", Type::Int, Unit::Yuan),
    ("age_ms", Type::Int, Unit::Duration),
    ("group.type", Type::Str, Unit::None),
];

type Row = [Value<'static>; NAMES.len()];

struct Known;

impl Names for Known {
    fn lookup(&self, name: &str) -> Option<(Slot, Type)> {
        let at = NAMES.iter().position(|(known, ..)| *known == name)?;
        Some((Slot(at as u16), NAMES[at].1))
    }

    fn all(&self) -> Vec<String> {
        NAMES.iter().map(|(name, ..)| (*name).to_owned()).collect()
    }

    fn unit(&self, name: &str) -> Unit {
        NAMES.iter().find(|(known, ..)| *known == name).map_or(Unit::None, |(.., unit)| *unit)
    }
}

/// What expressions of the tests are compiled with.
struct World {
    params: BTreeMap<String, Param>,
    conditions: BTreeMap<String, Ast>,
    lists: BTreeMap<String, Arc<List>>,
    zone: Arc<Zone>,
}

impl World {
    fn new() -> World {
        let mut trusted = List::default();
        trusted.add("a", 1_000_000_000_000, 1_700_000_000_000);
        let mut festivals = List::default();
        festivals.add("2024-02-10", 0, i64::MAX);
        World {
            params: BTreeMap::new(),
            conditions: BTreeMap::new(),
            lists: BTreeMap::from([
                ("trusted".to_owned(), Arc::new(trusted)),
                ("festivals".to_owned(), Arc::new(festivals)),
            ]),
            zone: Arc::new(Zone::new("Asia/Shanghai").unwrap()),
        }
    }

    fn param(mut self, name: &str, default: Constant, unit: Unit) -> World {
        self.params.insert(name.to_owned(), Param { default, unit, by: None });
        self
    }

    fn by(mut self, name: &str, field: &str, values: &[(&str, Constant)]) -> World {
        let values = values.iter().map(|(value, then)| ((*value).to_owned(), then.clone()));
        let param = self.params.get_mut(name).unwrap();
        param.by = Some((field.to_owned(), values.collect()));
        self
    }

    fn condition(mut self, name: &str, text: &str) -> World {
        self.conditions.insert(name.to_owned(), parse(text).unwrap());
        self
    }

    fn compile(&self, text: &str) -> Result<Program, Vec<ExprError>> {
        let environment = Environment {
            names: &Known,
            params: &self.params,
            conditions: &self.conditions,
            lists: &self.lists,
            zone: &self.zone,
        };
        parse(text).and_then(|ast| compile(&ast, &environment))
    }

    fn program(&self, text: &str) -> Program {
        self.compile(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
    }
}

/// A row in which everything is missing but what is named.
fn row(values: &[(&str, Value<'static>)]) -> Row {
    let mut row = [Value::Null; NAMES.len()];
    for (name, value) in values {
        row[NAMES.iter().position(|(known, ..)| known == name).unwrap()] = *value;
    }
    row
}
