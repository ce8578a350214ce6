//! A lens as an HTML file of the report's look, which loads nothing from anywhere.

use super::Lens;
use crate::report::page;

const SCRIPT: &str = include_str!("../../assets/lens/lens.js");

/// The lens as one HTML file, in both languages.
pub fn html(lens: &Lens) -> String {
    let data = serde_json::to_string(lens).expect("a lens has no keys but strings");
    page(&format!("Lens: {}", lens.run), &data, SCRIPT)
}
