//! The HTML report: one file with its data, its plots and its words in both languages.
//!
//! The file holds the page's own script and Apache ECharts, and its policy forbids it to load
//! anything, so it opens offline and sends nothing anywhere. Event text is hostile: it enters as
//! JSON in which no `<` is left, and the script puts it on the page as text only.

use super::ReportInput;

const TEMPLATE: &str = include_str!("../../assets/report/report.html");
const STYLE: &str = include_str!("../../assets/report/report.css");
const COMMON: &str = include_str!("../../assets/report/common.js");
const WORDS: &str = include_str!("../../assets/report/words.js");
const PLOTS: &str = include_str!("../../assets/report/plots.js");
const MODEL: &str = include_str!("../../assets/report/model.js");
const PAGE: &str = include_str!("../../assets/report/page.js");
const ECHARTS: &str = include_str!("../../assets/echarts/echarts.min.js");

/// The report as one HTML file.
pub fn html(input: &ReportInput<'_>) -> String {
    let data = serde_json::to_string(input).expect("a report has no keys but strings");
    page(input.title, &data, &[WORDS, PLOTS, MODEL, PAGE].concat())
}

/// A page of the report's look: `script` draws it from the JSON in `data`, with what all pages
/// share before it.
pub(crate) fn page(title: &str, data: &str, script: &str) -> String {
    let parts = [
        ("title", text(title)),
        ("style", STYLE.to_owned()),
        ("data", script_json(data)),
        ("echarts", ECHARTS.to_owned()),
        ("script", [COMMON, script].concat()),
    ];
    fill(TEMPLATE, &parts)
}

/// Puts each part at its `{{name}}`. One pass, so that a part cannot hold a place of another.
fn fill(template: &str, parts: &[(&str, String)]) -> String {
    let mut page = String::with_capacity(parts.iter().map(|(_, part)| part.len()).sum());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").expect("the template closes its places");
        let part = parts.iter().find(|(known, _)| *known == name);
        page.push_str(before);
        page.push_str(&part.expect("the template names known parts").1);
        rest = after;
    }
    page.push_str(rest);
    page
}

/// JSON that cannot end the script element in which it stands.
fn script_json(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn report(transactions: u64, labelled: bool) -> String {
        let (run, judgement) = sample::run(transactions, labelled);
        html(&ReportInput { title: "</title><b>demo", run: &run, judgement: &judgement })
    }

    #[test]
    fn hostile_text_cannot_leave_its_place() {
        let page = report(3_000, true);
        assert!(page.contains("&lt;/title&gt;&lt;b&gt;demo"));
        assert!(page.contains(r"\u003c/script>\u003cimg src=x"), "the name is there, as data");
        assert!(!page.contains("<img src=x"), "and nowhere as markup");
        assert_eq!(page.matches("</script>").count(), TEMPLATE.matches("</script>").count());
        assert!(!page.contains("{{"), "every place of the template is filled");
    }

    #[test]
    fn the_data_is_read_back_as_it_was() {
        let (run, judgement) = sample::run(500, true);
        let input = ReportInput { title: "demo", run: &run, judgement: &judgement };
        let page = html(&input);
        let (_, after) = page.split_once("id=\"data\">").expect("a data element");
        let (data, _) = after.split_once("</script>").expect("its end");
        let read: serde_json::Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(read["run"], serde_json::to_value(&run).expect("JSON"));
        assert_eq!(read["judgement"]["transactions"], 500);
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = report(10, false);
        assert!(page.contains("default-src 'none'"));
        for reference in ["src=\"", "href=\"http", "@import", "url("] {
            let own = page.replace(ECHARTS, "");
            assert!(!own.contains(reference), "{reference}");
        }
        assert!(page.contains("Licensed to the Apache Software Foundation"), "the notice stays");
    }

    #[test]
    fn the_same_run_makes_the_same_report() {
        assert!(report(1_000, true) == report(1_000, true));
    }
}
