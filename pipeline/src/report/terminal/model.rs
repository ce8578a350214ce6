//! What rules and model do, each alone and together.

use super::{Page, TYPOLOGIES_MAX, figure, grouped, printable, share, yuan};
use crate::diagnostic::Lang;
use crate::judge::{Comparison, WayFinding};
use crate::report::{ModelFact, ReportInput};

/// Digits that tell two models apart at a glance.
const HASH_SHOWN: usize = 12;

fn is_of_anomaly(model: &ModelFact) -> bool {
    model.scale == "anomaly"
}

impl Page {
    /// The model, the ways side by side, and what each alerts of each kind of fraud.
    pub(super) fn model(&mut self, input: &ReportInput<'_>) {
        let (Some(model), Some(found)) = (&input.run.model, &input.judgement.comparison) else {
            return;
        };
        self.heading(self.say("rules and model", "规则与模型"));
        let mut rows = vec![vec![self.say("model", "模型").to_owned(), self.model_told(model)]];
        if let Some(challenger) = &input.run.challenger {
            let name = self.say("challenger", "挑战者").to_owned();
            rows.push(vec![name, self.model_told(challenger)]);
        }
        rows.push(vec![self.say("policy", "策略").to_owned(), self.blend_told(model)]);
        if found.unscored > 0 {
            let name = self.say("without a model score", "没有模型分").to_owned();
            rows.push(vec![name, grouped(found.unscored)]);
        }
        if [Some(model), input.run.challenger.as_ref()].into_iter().flatten().any(is_of_anomaly) {
            let name = self.say("scores", "模型分").to_owned();
            let told = self.say(
                "those of an isolation forest say how odd a transaction is: what they would alert on \
                 alone tells nothing, how they rank does",
                "孤立森林的分数表示异常程度：其单独预警数没有意义，排序才有意义",
            );
            rows.push(vec![name, told.to_owned()]);
        }
        self.table(&[], 2, rows);
        self.line("");
        self.ways(found);
        if found.subject.is_some() {
            self.ways_by_typology(found);
        }
        self.champion_and_challenger(found);
    }

    fn model_told(&self, model: &ModelFact) -> String {
        let ModelFact { name, kind, inputs, hash, path, .. } = model;
        let name = if name.is_empty() { path } else { name };
        let (name, hash) = (printable(name), hash.get(..HASH_SHOWN).unwrap_or(hash));
        match self.screen.lang {
            Lang::En => format!("{name} ({kind}, {inputs} inputs, {hash})"),
            Lang::Zh => format!("{name}（{kind}，{inputs} 个输入，{hash}）"),
        }
    }

    fn blend_told(&self, model: &ModelFact) -> String {
        let ModelFact { blend, weight, at_least, .. } = model;
        // A share in percent, of tenths.
        let says = model.at_least_per_mille.map(|of| format!("{}.{} %", of / 10, of % 10));
        let says = says.unwrap_or_default();
        match (self.screen.lang, blend.as_str()) {
            (Lang::En, "rules") => "the rules' score decides; the model's is recorded".to_owned(),
            (Lang::Zh, "rules") => "只用规则分决策;模型分仅作记录".to_owned(),
            (Lang::En, blend) => format!(
                "{blend} of both scores; {weight} % of the model's, from {at_least} on (a \
                 probability of {says})"
            ),
            (Lang::Zh, blend) => {
                format!("{blend}:模型分按 {weight} % 计,自 {at_least} 分起(概率 {says})")
            }
        }
    }

    fn way(&self, way: &WayFinding) -> String {
        let name = match way.name {
            "rules" => self.say("rules alone", "仅规则"),
            "model" => self.say("model alone", "仅模型"),
            "both" => self.say("both", "两者"),
            _ => self.say("challenger", "挑战者"),
        };
        name.to_owned()
    }

    fn ways(&mut self, found: &Comparison) {
        if found.subject.is_none() {
            let header = [self.say("way", "方式"), self.say("alerts", "预警")];
            let row = |way: &WayFinding| vec![self.way(way), grouped(way.alerts.count)];
            let rows = found.ways.iter().map(row).collect();
            self.table(&header, 1, rows);
            return;
        }
        let header = [
            self.say("way", "方式"),
            self.say("alerts", "预警"),
            self.say("precision", "精确率"),
            self.say("recall", "召回率"),
            self.say("average precision", "平均精度"),
            self.say("fraud stopped, yuan", "拦下欺诈（元）"),
            self.say("honest accounts", "波及正常账户"),
        ];
        let row = |way: &WayFinding| {
            vec![
                self.way(way),
                grouped(way.alerts.count),
                figure(way.precision),
                figure(way.recall),
                figure(way.average_precision),
                yuan(way.fraud.stopped().fen),
                grouped(way.honest_accounts_alerted),
            ]
        };
        let rows = found.ways.iter().map(row).collect();
        self.table(&header, 1, rows);
        self.ways_at_budget(found);
    }

    /// A table of its own, for beside the others its numbers are too many for 80 columns.
    fn ways_at_budget(&mut self, found: &Comparison) {
        let header = [
            self.say("way", "方式"),
            self.say("precision at the rules' alerts", "同等预警量精确率"),
            self.say("fraud in them, yuan", "其中欺诈（元）"),
        ];
        let row = |way: &WayFinding| {
            vec![self.way(way), figure(way.at_budget.precision), yuan(way.at_budget.fraud_fen)]
        };
        let rows = found.ways.iter().map(row).collect();
        self.line("");
        self.table(&header, 1, rows);
    }

    fn ways_by_typology(&mut self, found: &Comparison) {
        let Some(first) = found.ways.first() else { return };
        if first.typologies.iter().all(|one| one.name.is_empty()) {
            return;
        }
        let mut header = vec![
            self.say("frauds alerted", "预警的欺诈").to_owned(),
            self.say("transactions", "交易").to_owned(),
        ];
        header.extend(found.ways.iter().map(|way| self.way(way)));
        let alerted = |way: &WayFinding, name: &str| {
            let held = way.typologies.iter().find(|one| one.name == name);
            held.map_or("-".to_owned(), |held| share(held.alerted, held.transactions))
        };
        let rows = first.typologies.iter().take(TYPOLOGIES_MAX).map(|one| {
            let name = if one.name.is_empty() {
                self.say("(none)", "（未注明）").to_owned()
            } else {
                printable(&one.name)
            };
            let mut row = vec![name, grouped(one.transactions)];
            row.extend(found.ways.iter().map(|way| alerted(way, &one.name)));
            row
        });
        let rows = rows.collect();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        self.line("");
        self.table(&header, 1, rows);
    }

    fn champion_and_challenger(&mut self, found: &Comparison) {
        let Some(common) = &found.common else { return };
        let [both, champion, challenger] = common.fraud.map(grouped);
        let counts = [common.both, common.champion_only, common.challenger_only].map(grouped);
        let [in_common, champion_only, challenger_only] = counts;
        let line = match self.screen.lang {
            Lang::En => format!(
                "champion and challenger, each with the rules: {in_common} alerts in common ({both} \
                 fraud),\n{champion_only} of the champion only ({champion} fraud), \
                 {challenger_only} of the challenger only ({challenger} fraud)"
            ),
            Lang::Zh => format!(
                "冠军与挑战者（均含规则）：共同预警 {in_common} 笔（欺诈 {both}），\n\
                 仅冠军 {champion_only} 笔（欺诈 {champion}），仅挑战者 {challenger_only} 笔（欺诈 {challenger}）"
            ),
        };
        self.line("");
        self.line(line);
    }
}
