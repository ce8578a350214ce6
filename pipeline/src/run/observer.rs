//! What sees every decision of a run in total order: the verdicts on accounts and groups, and the
//! judge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::examples::Examples;
use crate::decision::{DecisionBatch, Raised, Verdict};
use crate::diagnostic::Lang;
use crate::event::{ACCOUNT_ID, AMOUNT_FEN, EVENT_ID, EVENT_TIME, FieldId, GROUP_ID, NULL_INT};
use crate::expr::Zone;
use crate::features::state::LOOK_AHEAD;
use crate::job::Epoch;
use crate::judge::{
    Judge, JudgeOptions, Judged, JudgedRule, Labels, Subject, WayDecision, WayDecisions,
};
use crate::rules::file::Status;
use crate::rules::{Lifts, Rule};
use crate::score::Scorer;
use crate::sink::Scored;
use crate::verdicts::{Enforced, Standing, Verdicts, floor};

/// The places of each epoch's rules among all that are ever in force, which stand by id.
pub(super) struct Places {
    by_epoch: Vec<Vec<u16>>,
    /// For each epoch, whether the rule at a place allows.
    allows: Vec<Vec<bool>>,
    /// For each epoch, the language of the reasons in its decisions.
    languages: Vec<Lang>,
    /// For each epoch, by what verdicts are lifted.
    lifts: Vec<Lifts>,
    /// By whose clock they tell a time, which is the same in all epochs.
    zone: Arc<Zone>,
}

impl Places {
    pub(super) fn new(epochs: &[Epoch]) -> Places {
        let rules = || epochs.iter().flat_map(Epoch::rules);
        let ids: BTreeSet<&str> = rules().map(|rule| rule.file.id.as_str()).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let place =
            |rule: &Rule| ids.binary_search(&rule.file.id.as_str()).map_or(0, |at| at as u16);
        let by_epoch: Vec<Vec<u16>> =
            epochs.iter().map(|epoch| epoch.rules().iter().map(place).collect()).collect();
        let mut allows = vec![vec![false; ids.len()]; epochs.len()];
        for ((epoch, places), allows) in epochs.iter().zip(&by_epoch).zip(&mut allows) {
            for (rule, place) in epoch.rules().iter().zip(places) {
                allows[usize::from(*place)] = rule.file.allows;
            }
        }
        let languages = epochs.iter().map(|epoch| epoch.scorer.policy().language).collect();
        let lifts = epochs.iter().map(|epoch| epoch.scorer.rules().lifts.clone()).collect();
        Places { by_epoch, allows, languages, lifts, zone: epochs[0].features.zone.clone() }
    }

    /// A decision of the rules under the floor of an enforced verdict. As with any floor, a rule
    /// that allows overrides all but one of block.
    fn raised(&self, epoch: usize, hits: &[u16], decided: Verdict, floor: Verdict) -> Verdict {
        let allowed = || hits.iter().any(|hit| self.allows[epoch][usize::from(*hit)]);
        if floor <= decided || (floor < Verdict::Block && allowed()) { decided } else { floor }
    }

    /// Says of a decision that was raised which verdicts raised it, in the order of their names:
    /// of those on its account and its group, what has the higher floor, or both.
    fn explain(
        &self,
        epoch: usize,
        ids: [&str; 2],
        enforced: [Option<Enforced>; 2],
        mut reason: impl FnMut(&'static str, String),
    ) {
        let floor = floor(&enforced);
        let lang = self.languages[epoch];
        for standing in [Standing::Banned, Standing::Restricted] {
            let told = ids.into_iter().zip(enforced).filter_map(|(id, one)| {
                let one = one.filter(|one| one.standing == standing && one.floor == floor)?;
                Some(one.tell(id, &self.zone, lang))
            });
            let told: Vec<String> = told.collect();
            if !told.is_empty() {
                reason(standing.reason(), told.join(if lang == Lang::Zh { "；" } else { "; " }));
            }
        }
    }
}

/// The judge of all rules that are ever in force. One that changes is shown as it is in the end.
pub(super) fn judge(
    epochs: &[Epoch],
    places: &Arc<Places>,
    labels: Option<Labels>,
    judge_from: i64,
) -> Judge {
    let mut rules: BTreeMap<&str, &Rule> = BTreeMap::new();
    for epoch in epochs {
        rules.extend(epoch.rules().iter().map(|rule| (rule.file.id.as_str(), rule)));
    }
    let ever = |id: &str, status: Status| {
        let mut all = epochs.iter().flat_map(Epoch::rules);
        all.any(|rule| rule.file.id == id && rule.file.status == status)
    };
    let judged = rules.values().map(|rule| JudgedRule {
        id: rule.file.id.clone(),
        title: rule.file.about.title.clone(),
        title_zh: rule.file.about.title_zh.clone(),
        score: rule.file.score,
        status: [Status::Live, Status::Shadow]
            .into_iter()
            .find(|status| ever(&rule.file.id, *status))
            .unwrap_or(rule.file.status),
    });
    let options = JudgeOptions::in_zone(&places.zone);
    let by_epoch = epochs.iter().zip(&places.by_epoch);
    let redecide: Vec<_> = by_epoch.map(|(epoch, places)| epoch.scorer.redecider(places)).collect();
    let places = places.clone();
    Judge::new(
        labels,
        judged.collect(),
        JudgeOptions { judge_from, ..options },
        Box::new(move |judged, hits| {
            let decided =
                redecide[judged.epoch](hits, judged.ways.and_then(|held| held.model_score));
            places.raised(judged.epoch, hits, decided, judged.floor)
        }),
    )
}

/// What raises decisions to the floors that verdicts set, the same in a backtest and in a live
/// session: it sees every decision in total order.
pub(super) struct Floors {
    places: Arc<Places>,
    pub(super) verdicts: Verdicts,
    /// Of the last part, the floor under each decision.
    floors: Vec<Verdict>,
    /// Of the last part, the place of each rule that hit, where [`DecisionBatch::hits`] has the rule.
    hits: Vec<u16>,
    /// The effective time of the last decision.
    pub(super) reached: i64,
    /// Its epoch.
    pub(super) epoch: usize,
}

impl Floors {
    pub(super) fn new(places: Arc<Places>, mut verdicts: Verdicts) -> Floors {
        verdicts.set_lifts(&places.lifts[0]);
        let (floors, hits) = (Vec::new(), Vec::new());
        Floors { places, verdicts, floors, hits, reached: i64::MIN, epoch: 0 }
    }

    /// Sees to the rules of more epochs than before.
    pub(super) fn replace(&mut self, places: Places) {
        self.places = Arc::new(places);
    }

    /// Raises the decisions of the next part.
    pub(super) fn raise_all(&mut self, scored: &mut Scored) {
        if self.epoch != scored.epoch {
            self.epoch = scored.epoch;
            self.verdicts.set_lifts(&self.places.lifts[self.epoch]);
        }
        let batch = &mut scored.batch;
        let places = &self.places.by_epoch[self.epoch];
        self.hits.clear();
        self.hits.extend(batch.hits.items().iter().map(|hit| places[usize::from(*hit)]));
        self.floors.clear();
        self.floors.resize(batch.rows.len(), Verdict::Allow);
        // What is allowed counts towards no verdict, and meets none where none is enforced.
        let enforces = self.verdicts.enforces();
        let concerned = |at: &usize| enforces || batch.verdicts[*at] != Verdict::Allow;
        let concerned: Vec<usize> = (0..batch.rows.len()).filter(concerned).collect();
        for block in concerned.chunks(LOOK_AHEAD) {
            self.verdicts.look_ahead(block.iter().map(|at| subjects(batch, *at)));
            for &at in block {
                self.floors[at] = self.raise(batch, at);
            }
        }
        if let Some(last) = batch.rows.last() {
            self.reached = batch.slice.effective[*last as usize];
        }
    }

    /// The places of the rules that hit a transaction of the last part, which is `batch`.
    fn hits(&self, batch: &DecisionBatch, at: usize) -> &[u16] {
        &self.hits[batch.hits.range(at)]
    }

    /// Takes the rules' decision into the verdicts on its account and group, and raises it to the
    /// floor that they set before it, which is returned. The floor is no evidence: else an account
    /// that goes on acting would never be free again, and a banned group would ban everybody in it.
    fn raise(&mut self, batch: &mut DecisionBatch, at: usize) -> Verdict {
        let hits = &self.hits[batch.hits.range(at)];
        let DecisionBatch { slice, rows, verdicts, challenger, raised: reasons, .. } = batch;
        let row = rows[at] as usize;
        let ids @ [account, group] =
            [ACCOUNT_ID, GROUP_ID].map(|field| slice.chunk.str(field, row));
        let (time, decided) = (slice.effective[row], verdicts[at]);
        let enforced = self.verdicts.enforced(account, group, time);
        let floor = floor(&enforced);
        let raised = self.places.raised(self.epoch, hits, decided, floor);
        if raised != decided {
            verdicts[at] = raised;
            self.places.explain(self.epoch, ids, enforced, |rule, text| {
                reasons.push(Raised { at, rule, text });
            });
        }
        if let Some(other) = challenger.verdicts.get_mut(at) {
            *other = self.places.raised(self.epoch, hits, *other, floor);
        }
        self.verdicts.observe(account, group, time, decided);
        floor
    }
}

/// The account and the group of a decision.
fn subjects(batch: &DecisionBatch, at: usize) -> [&str; 2] {
    let (row, chunk) = (batch.rows[at] as usize, &batch.slice.chunk);
    [ACCOUNT_ID, GROUP_ID].map(|field| chunk.str(field, row))
}

/// What sees every decision of a batch run in total order.
pub(super) struct Observer {
    pub(super) judge: Judge,
    pub(super) floors: Floors,
    pub(super) examples: Examples,
    ways: Vec<Ways>,
}

/// What would be decided with other hits, and with a model's score or without.
type Redecider = Box<dyn Fn(&[u16], Option<i64>) -> Verdict + Send>;

/// How to decide with the rules alone and with the model alone, in one epoch.
struct Ways {
    scorer: Arc<Scorer>,
    places: Arc<Places>,
    epoch: usize,
    rules: Redecider,
}

impl Ways {
    /// What each way says of a decided transaction; none without a model.
    fn decide(
        &self,
        batch: &DecisionBatch,
        at: usize,
        floor: Verdict,
        hits: &[u16],
    ) -> Option<WayDecisions> {
        let models = self.scorer.models();
        models.champion.as_ref()?;
        let of = |score: i64| Some(score).filter(|score| *score != NULL_INT);
        let model_score = of(batch.model_scores[at]);
        let rules = self.places.raised(self.epoch, hits, (self.rules)(hits, None), floor);
        let (verdict, _) = self.scorer.model_alone(model_score);
        let challenger = models.challenger.as_ref().map(|_| WayDecision {
            verdict: batch.challenger.verdicts[at],
            score: batch.challenger.scores[at],
        });
        Some(WayDecisions {
            model_score,
            rules: WayDecision { verdict: rules, score: batch.rule_scores[at] },
            // It ranks by its own score, of which the policy may let less count.
            model: WayDecision { verdict, score: model_score.unwrap_or(0) },
            both: WayDecision { verdict: batch.verdicts[at], score: batch.scores[at] },
            challenger,
        })
    }
}

impl Observer {
    pub(super) fn new(
        judge: Judge,
        epochs: &[Epoch],
        places: &Arc<Places>,
        verdicts: Verdicts,
    ) -> Observer {
        let way = |(epoch, (one, by_place)): (usize, (&Epoch, &Vec<u16>))| Ways {
            scorer: one.scorer.clone(),
            places: places.clone(),
            epoch,
            rules: Box::new(one.scorer.redecider(by_place)),
        };
        let ways = epochs.iter().zip(&places.by_epoch).enumerate().map(way).collect();
        let examples = Examples::new(epochs);
        Observer { judge, floors: Floors::new(places.clone(), verdicts), examples, ways }
    }

    pub(super) fn observe(&mut self, scored: &mut Scored) {
        let Observer { judge, floors, ways, examples } = self;
        floors.raise_all(scored);
        let Scored { epoch, batch, .. } = &*scored;
        examples.observe(*epoch, batch);
        let (chunk, ways) = (&batch.slice.chunk, &ways[*epoch]);
        let events = judge.labelled(Subject::Event).then_some(EVENT_ID);
        let groups = judge.labelled(Subject::Group).then_some(GROUP_ID);
        let id = |field: Option<FieldId>, row| field.map_or("", |field| chunk.str(field, row));
        let judged = |(at, &row): (usize, &u32)| {
            let (row, floor, hits) = (row as usize, floors.floors[at], floors.hits(batch, at));
            Judged {
                event_id: id(events, row),
                event_time: chunk.int(EVENT_TIME, row),
                account_id: chunk.str(ACCOUNT_ID, row),
                group_id: id(groups, row),
                amount_fen: chunk.int(AMOUNT_FEN, row),
                decision: batch.verdicts[at],
                floor,
                score: batch.scores[at],
                hits,
                epoch: *epoch,
                ways: ways.decide(batch, at, floor, hits),
            }
        };
        let mut rows = batch.rows.iter().enumerate();
        let mut block = Vec::with_capacity(LOOK_AHEAD);
        while rows.len() > 0 {
            block.clear();
            block.extend(rows.by_ref().take(LOOK_AHEAD).map(judged));
            judge.observe_all(&block);
        }
    }
}
