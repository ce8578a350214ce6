//! What the oracle expects of packets and their shares.

use super::{Kind, Oracle, Phase, Place, Told, What, amount_allowed, change_of, named, source};
use crate::packet::chain;
use crate::packet::command::{Funding, Next, PerMille, Play, Send, Tie};
use crate::packet::draw::{Draws, Purpose, commitment};
use crate::packet::engine::{PacketState, Parts};
use crate::packet::plays::{AmountPolicy, Eligibility};
use crate::packet::reply::{Digest, Done, Happening, Refusal, Seq, Settlement, Tilted};
use crate::packet::split;
use crate::packet::tilt::Regulated;
use crate::packet::units::{Fen, Time};

/// A packet.
#[derive(Clone, Debug)]
pub(in crate::packet::simulation) struct Packet {
    pub(in crate::packet::simulation) seq: Seq,
    pub(in crate::packet::simulation) time: Time,
    pub(in crate::packet::simulation) sender: String,
    pub(in crate::packet::simulation) group: Option<String>,
    pub(in crate::packet::simulation) fen: u64,
    pub(in crate::packet::simulation) shares: u32,
    /// The sent command's play, as its bytes.
    play: Vec<u8>,
    funding: Funding,
    tilt: PerMille,
    secret: Digest,
    pub(in crate::packet::simulation) head: Digest,
    pub(in crate::packet::simulation) claims: Vec<Share>,
    /// Those who said a wrong password, once for each time.
    wrong: Vec<String>,
    /// Of a regulated packet.
    regulated: Option<Regulated>,
    opened: bool,
    pub(in crate::packet::simulation) expires_at: Time,
    expired: bool,
    pub(in crate::packet::simulation) closed: bool,
    pub(super) blocked: bool,
    refunded: u64,
}

/// A share that was taken.
#[derive(Clone, Debug)]
pub(in crate::packet::simulation) struct Share {
    pub(in crate::packet::simulation) account: String,
    pub(in crate::packet::simulation) fen: u64,
    pub(in crate::packet::simulation) seq: Seq,
    /// The id of the request.
    pub(in crate::packet::simulation) transaction: String,
    /// The head of the chain after it.
    pub(in crate::packet::simulation) head: Digest,
}

impl Packet {
    pub(in crate::packet::simulation) fn play(&self) -> Play<'_> {
        postcard::from_bytes(&self.play).unwrap()
    }

    pub(in crate::packet::simulation) fn shares_left(&self) -> u32 {
        self.shares - self.claims.len() as u32
    }

    pub(in crate::packet::simulation) fn has_share(&self, account: &str) -> bool {
        self.claims.iter().any(|share| share.account == account)
    }

    pub(in crate::packet::simulation) fn is_opened(&self) -> bool {
        self.opened
    }

    pub(super) fn state(&self) -> PacketState {
        match self {
            Packet { blocked: true, .. } => PacketState::Blocked,
            Packet { opened: false, .. } => PacketState::Waiting,
            Packet { closed: true, .. } => PacketState::Closed,
            Packet { expired: true, .. } => PacketState::Expired,
            packet if packet.shares_left() == 0 => PacketState::Exhausted,
            _ => PacketState::Open,
        }
    }

    fn from(&self) -> Time {
        match self.play() {
            Play::Timed { from } => from,
            _ => self.time,
        }
    }

    /// The claimer of the largest share; of equal ones the first.
    fn luckiest(&self) -> String {
        let most = self.claims.iter().map(|share| share.fen).max().unwrap();
        self.claims.iter().find(|share| share.fen == most).unwrap().account.clone()
    }

    /// Who has to send next, in a relay whose shares are all taken.
    pub(in crate::packet::simulation) fn next_sender(&self) -> Option<String> {
        let Play::Relay { next, .. } = self.play() else { return None };
        if self.shares_left() > 0 {
            return None;
        }
        let least = self.claims.iter().map(|share| share.fen).min().unwrap();
        Some(match next {
            Next::Luckiest => self.luckiest(),
            Next::LeastLucky => {
                self.claims.iter().find(|share| share.fen == least).unwrap().account.clone()
            }
        })
    }

    fn back(&self) -> Place {
        match self.funding {
            Funding::Purse(purse) => Place::Purse(self.sender.clone(), purse),
            Funding::Bank => change_of(&self.sender),
        }
    }
}

impl Oracle {
    pub(super) fn send(
        &mut self,
        id: &str,
        send: &Send<'_>,
        seq: Seq,
        now: Time,
    ) -> Result<Done, Refusal> {
        self.sendable(send, now)?;
        let secret = self.secret.of_packet(send.packet, seq.0);
        let commitment = commitment(send.packet, &secret);
        let drawn = send.play.rules().amounts == AmountPolicy::Drawn;
        let regulated =
            (drawn && send.tilt.0 > 0).then(|| Regulated::new(&secret, send.amount, send.shares));
        let packet = Packet {
            seq,
            time: now,
            sender: send.account.to_owned(),
            group: send.group.map(str::to_owned),
            fen: send.amount.0,
            shares: send.shares,
            play: postcard::to_allocvec(&send.play).unwrap(),
            funding: send.funding,
            tilt: send.tilt,
            secret,
            head: chain::origin(send, now, &commitment),
            claims: Vec::new(),
            wrong: Vec::new(),
            regulated,
            opened: false,
            expires_at: Time(i64::MAX),
            expired: false,
            closed: false,
            blocked: false,
            refunded: 0,
        };
        self.packets.insert(send.packet.to_owned(), packet);
        self.grows(send.packet);
        let (from, back) = source(send.account, send.funding, now);
        let places = [from, Place::Escrow(send.packet.to_owned()), back];
        let kind = Kind::Send(send.packet.to_owned());
        self.reserve(id, seq, now, kind, send.account, send.amount.0, places);
        Ok(Done::Sent { commitment })
    }

    fn sendable(&self, send: &Send<'_>, now: Time) -> Result<(), Refusal> {
        let limits = &self.limits;
        named(send.account)?;
        named(send.packet)?;
        let fen = amount_allowed(send.amount)?;
        let refused = |when: bool, why: Refusal| if when { Err(why) } else { Ok(()) };
        let rules = send.play.rules();
        let shares = u64::from(send.shares);
        refused(shares == 0 || send.shares > limits.shares_max, Refusal::SharesOutOfLimits)?;
        refused(rules.single && shares != 1, Refusal::SharesNotOne)?;
        let mean_max = u64::from(limits.share_mean_fen_max);
        refused(fen < shares || fen > mean_max * shares, Refusal::ShareAmountOutOfLimits)?;
        let even = rules.amounts == AmountPolicy::Equal;
        refused(even && fen % shares != 0, Refusal::SharesUneven)?;
        refused(send.tilt.0 > limits.tilt_per_mille_max, Refusal::TiltTooStrong)?;
        match send.play {
            Play::Timed { from } => {
                let late = now.after(limits.timed_ahead_max());
                refused(from <= now || from > late, Refusal::ReleaseOutOfLimits)?;
            }
            Play::Exclusive { to } => named(to)?,
            _ => {}
        }
        refused(self.packets.contains_key(send.packet), Refusal::PacketIdTaken)?;
        if let Some(group) = send.group {
            named(group)?;
            refused(!self.is_member(group, send.account), Refusal::NotMember)?;
        }
        let today = || {
            let of_sender = |packet: &&Packet| packet.sender == send.account;
            let sent = self.packets.values().filter(of_sender);
            sent.filter(|packet| packet.time.day() == now.day())
        };
        let (count_max, fen_max) = (limits.sends_a_day_max, limits.sent_fen_a_day_max);
        let count = today().count() as u64 + 1;
        refused(count_max > 0 && count > u64::from(count_max), Refusal::DailyLimit)?;
        let sum = today().map(|packet| packet.fen).sum::<u64>() + fen;
        refused(fen_max > 0 && sum > fen_max, Refusal::DailyLimit)?;
        self.funded(&source(send.account, send.funding, now).0, fen)?;
        match send.play {
            Play::Relay { after: Some(after), .. } => self.may_follow(send, after),
            _ => Ok(()),
        }
    }

    fn may_follow(&self, send: &Send<'_>, after: &str) -> Result<(), Refusal> {
        let before = self.packets.get(after).ok_or(Refusal::RelayNotFinished)?;
        let next = before.next_sender().ok_or(Refusal::RelayNotFinished)?;
        if before.group.as_deref() != send.group {
            return Err(Refusal::RelayNotFinished);
        }
        if next != send.account {
            return Err(Refusal::RelayNotYourTurn);
        }
        let follows = |packet: &Packet| {
            let relay = packet.play();
            matches!(relay, Play::Relay { after: Some(other), .. } if other == after)
        };
        match self.packets.values().any(|packet| follows(packet) && !packet.blocked) {
            true => Err(Refusal::RelayWentOn),
            false => Ok(()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a claim is, in one place")]
    pub(super) fn claim(
        &mut self,
        id: &str,
        account: &str,
        name: &str,
        guess: Option<Digest>,
        tie: Tie,
        seq: Seq,
        now: Time,
    ) -> Result<Done, Refusal> {
        named(account)?;
        self.claimable(account, name, guess, now)?;
        let packet = &self.packets[name];
        let index = packet.claims.len() as u32;
        let tilt = self.tilt_of(packet, account);
        let packet = self.packets.get_mut(name).unwrap();
        let (amount, tilted) = packet.draw(index, tie, tilt);
        let record = chain::claim(index, amount, now, &chain::account_digest(account));
        packet.head = chain::extend(&packet.head, &record);
        let (account_name, transaction) = (account.to_owned(), id.to_owned());
        let head = packet.head;
        packet.claims.push(Share { account: account_name, fen: amount.0, seq, transaction, head });
        if packet.shares_left() == 0 {
            let packet = &self.packets[name];
            let (luckiest, next) = (packet.luckiest(), packet.next_sender());
            let what = What::Exhausted { packet: packet.seq, luckiest, next };
            self.told.push(Told { time: now, what });
        }
        self.grows(name);
        let back = self.packets[name].back();
        let places = [Place::Escrow(name.to_owned()), change_of(account), back];
        let kind = Kind::Claim(name.to_owned());
        self.reserve(id, seq, now, kind, account, amount.0, places);
        Ok(Done::Claimed { index, amount, tilt: tilted })
    }

    fn claimable(
        &mut self,
        account: &str,
        name: &str,
        guess: Option<Digest>,
        now: Time,
    ) -> Result<(), Refusal> {
        let packet = self.packets.get(name).ok_or(Refusal::PacketUnknown)?;
        if packet.has_share(account) {
            return Err(Refusal::ClaimedAlready);
        }
        match packet.state() {
            PacketState::Waiting => return Err(Refusal::PacketWaiting),
            PacketState::Blocked => return Err(Refusal::PacketBlocked),
            PacketState::Open if now < packet.from() => return Err(Refusal::PacketNotYetOpen),
            PacketState::Open if now < packet.expires_at => {}
            _ if packet.shares_left() == 0 => return Err(Refusal::PacketExhausted),
            _ => return Err(Refusal::PacketExpired),
        }
        let play = packet.play();
        if let Play::Exclusive { to } = play
            && to != account
        {
            return Err(Refusal::NotNamed);
        }
        if let Some(group) = &packet.group
            && !self.is_member(group, account)
        {
            return Err(Refusal::NotMember);
        }
        if packet.sender == account && !self.limits.sender_may_claim {
            return Err(Refusal::SenderMayNotClaim);
        }
        if let Play::Password { digest } = play {
            assert_eq!(play.rules().eligibility, Eligibility::Password);
            let wrong = packet.wrong.iter().filter(|other| *other == account).count();
            if wrong >= self.limits.password_guesses_max as usize {
                return Err(Refusal::GuessesTooMany);
            }
            if guess != Some(digest) {
                self.packets.get_mut(name).unwrap().wrong.push(account.to_owned());
                return Err(Refusal::PasswordWrong);
            }
        }
        Ok(())
    }

    fn tilt_of(&self, packet: &Packet, account: &str) -> PerMille {
        let watched = packet.group.as_ref().is_some_and(|group| self.watched.contains(group));
        let cluster = |account: &str| self.clusters.get(account);
        let own = cluster(account).is_some() && cluster(account) == cluster(&packet.sender);
        if watched || own { PerMille(0) } else { packet.tilt }
    }

    fn is_member(&self, group: &str, account: &str) -> bool {
        self.members.contains(&(group.to_owned(), account.to_owned()))
    }

    pub(super) fn open(&mut self, name: &str, now: Time) {
        let open = self.limits.open();
        let packet = self.packets.get_mut(name).unwrap();
        packet.opened = true;
        packet.expires_at = packet.from().max(now).after(open);
        let packet = packet.seq;
        self.tell(now, Happening::Opened { packet });
    }

    pub(super) fn expire(&mut self, name: &str, now: Time) {
        let packet = self.packets.get_mut(name).unwrap();
        packet.expired = true;
        let seq = packet.seq;
        self.tell(now, Happening::Expired { packet: seq });
        self.close_if_over(name, now);
    }

    pub(super) fn close_if_over(&mut self, name: &str, now: Time) {
        let any = |settlement| {
            let of = |share: &Share| self.transactions.get(&share.transaction);
            let shares = self.packets[name].claims.iter();
            shares.filter_map(of).any(|transaction| transaction.settlement == settlement)
        };
        let over = match self.packets[name].state() {
            PacketState::Expired => !any(Settlement::Undecided),
            PacketState::Exhausted => !any(Settlement::Undecided) && !any(Settlement::Voided),
            _ => false,
        };
        if !over {
            return;
        }
        let escrow = Place::Escrow(name.to_owned());
        let rest = super::money::fen(self.movements.balance(&escrow));
        let packet = self.packets.get_mut(name).unwrap();
        packet.closed = true;
        packet.refunded = rest.0;
        let record = chain::close(packet.claims.len() as u32, rest, now, &packet.secret);
        packet.head = chain::extend(&packet.head, &record);
        let (seq, secret, back) = (packet.seq, packet.secret, packet.back());
        if rest > Fen::ZERO {
            self.movements.add(&escrow, &back, rest.0, Phase::Posted);
            self.tell(now, Happening::Refunded { packet: seq, amount: rest });
        }
        self.grows(name);
        self.tell(now, Happening::Closed { packet: seq, secret });
    }

    /// Where the money of a packet is that was opened.
    pub(in crate::packet::simulation) fn parts(&self, packet: &Packet) -> Parts {
        let mut parts = Parts { refunded: Fen(packet.refunded), ..Parts::default() };
        let mut taken = 0;
        for share in &packet.claims {
            taken += share.fen;
            let part = match self.transactions[&share.transaction].settlement {
                Settlement::Undecided => &mut parts.undecided,
                Settlement::Voided if packet.closed => continue,
                Settlement::Voided => &mut parts.voided,
                Settlement::Posted | Settlement::Released => &mut parts.paid,
                Settlement::Held => &mut parts.held,
                Settlement::Returned => &mut parts.returned,
                Settlement::Frozen => &mut parts.frozen,
            };
            *part += Fen(share.fen);
        }
        if !packet.closed {
            parts.remaining = Fen(packet.fen - taken);
        }
        parts
    }

    fn grows(&mut self, name: &str) {
        if !self.grown.iter().any(|other| other == name) {
            self.grown.push(name.to_owned());
        }
    }
}

impl Packet {
    fn draw(&mut self, index: u32, tie: Tie, tilt: PerMille) -> (Fen, Option<Tilted>) {
        if self.play().rules().amounts == AmountPolicy::Equal {
            return (Fen(self.fen / u64::from(self.shares)), None);
        }
        if let Some(regulated) = &mut self.regulated {
            let mut draws = Draws::new(&self.secret, Purpose::Choice, index);
            return regulated.take(tie, tilt, |end| draws.below(end));
        }
        let taken: u64 = self.claims.iter().map(|share| share.fen).sum();
        let mut draws = Draws::new(&self.secret, Purpose::Share, index);
        let left = self.shares_left();
        (split::share(Fen(self.fen - taken), left, |end| draws.below(end)), None)
    }
}
