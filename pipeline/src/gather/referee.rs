//! What the referee answers about the transactions of a slice.

use crate::event::{Column, NULL_INT, Strings, Value};
use crate::features::catalogue::Refereed;
use crate::keyed::Replies;
use crate::packet::referee::Finding;
use crate::packet::requests::{ACCOUNT_ANSWER, AccountAnswer, PACKET_ANSWER, PacketAnswer};

/// What the referee knows of each transaction.
pub(super) struct Rulings {
    pub(super) outcomes: Vec<Option<Finding>>,
    share_rank: Vec<f64>,
    split_deviation: Vec<f64>,
    shares_taken: Vec<i64>,
    left_fen: Vec<i64>,
    luck: Vec<f64>,
    refund_faults: Vec<i64>,
    refund_finding: Vec<Option<Finding>>,
}

impl Rulings {
    /// Nothing is known yet of `count` transactions.
    pub(super) fn nothing(count: usize) -> Rulings {
        Rulings {
            outcomes: vec![None; count],
            share_rank: vec![f64::NAN; count],
            split_deviation: vec![f64::NAN; count],
            shares_taken: vec![NULL_INT; count],
            left_fen: vec![NULL_INT; count],
            luck: vec![f64::NAN; count],
            refund_faults: vec![0; count],
            refund_finding: vec![None; count],
        }
    }

    /// Takes answers about packets; `place` says where each row stands among the transactions.
    pub(super) fn take_packets(&mut self, replies: &Replies, place: &[u32]) {
        let answers = replies.values.chunks_exact(PACKET_ANSWER);
        for (row, words) in replies.rows.iter().zip(answers) {
            let at = place[*row as usize] as usize;
            let answer = PacketAnswer::of(words);
            self.outcomes[at] = answer.finding;
            self.share_rank[at] = answer.share_rank;
            self.split_deviation[at] = answer.split_deviation;
            self.shares_taken[at] = answer.shares_taken;
            self.left_fen[at] = answer.left_fen;
        }
    }

    /// Takes answers about accounts.
    pub(super) fn take_accounts(&mut self, replies: &Replies, place: &[u32]) {
        let answers = replies.values.chunks_exact(ACCOUNT_ANSWER);
        for (row, words) in replies.rows.iter().zip(answers) {
            let at = place[*row as usize] as usize;
            let answer = AccountAnswer::of(words);
            self.luck[at] = answer.luck;
            self.refund_faults[at] = answer.refund_faults;
            self.refund_finding[at] = answer.refund_finding;
        }
    }

    /// The value of a transaction's feature.
    pub(super) fn value(&self, refereed: Refereed, at: usize) -> Value<'static> {
        let double = |value: f64| if value.is_nan() { Value::Null } else { Value::Double(value) };
        let int = |value| if value == NULL_INT { Value::Null } else { Value::Int(value) };
        match refereed {
            Refereed::ShareRank => double(self.share_rank[at]),
            Refereed::SplitDeviation => double(self.split_deviation[at]),
            Refereed::SharesTaken => int(self.shares_taken[at]),
            Refereed::LeftFen => int(self.left_fen[at]),
            Refereed::Luck => double(self.luck[at]),
            Refereed::RefundFaults => int(self.refund_faults[at]),
            Refereed::RefundFinding => outcome(self.refund_finding[at]),
        }
    }

    /// The column of a feature.
    pub(super) fn column(&self, refereed: Refereed) -> Column {
        match refereed {
            Refereed::ShareRank => Column::Double(self.share_rank.clone()),
            Refereed::SplitDeviation => Column::Double(self.split_deviation.clone()),
            Refereed::SharesTaken => Column::Int(self.shares_taken.clone()),
            Refereed::LeftFen => Column::Int(self.left_fen.clone()),
            Refereed::Luck => Column::Double(self.luck.clone()),
            Refereed::RefundFaults => Column::Int(self.refund_faults.clone()),
            Refereed::RefundFinding => {
                let mut names = Strings::default();
                let name = |finding: &Option<Finding>| finding.map_or("", Finding::name);
                self.refund_finding.iter().for_each(|finding| names.push(name(finding)));
                Column::Str(names)
            }
        }
    }
}

/// A finding as the value of a field.
pub(super) fn outcome(finding: Option<Finding>) -> Value<'static> {
    finding.map_or(Value::Null, |finding| Value::Str(finding.name()))
}
