//! stub
use crate::event::{Type, Value};
#[derive(Debug, Default)]
pub struct Lexicon;
#[derive(Default)]
pub struct Scratch;
pub struct TextEntry { pub name: String, pub kind: Type, pub doc: String, pub doc_zh: String, pub unit: String, pub misleads: String }
pub fn entries(_: &Lexicon) -> Vec<TextEntry> { Vec::new() }
impl Lexicon {
    pub fn features(&self) -> usize { 0 }
    pub fn compute(&self, _: &str, _: &mut Scratch, _: &mut [i64]) {}
    pub fn value(&self, _: usize, _: i64) -> Value<'static> { Value::Null }
}
