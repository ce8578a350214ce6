//! Sending, opening, claiming, the end of a packet.

use super::due::Due;
use super::packet::{Claim, Packet, PacketState, Relay, Sent};
use super::transaction::Kind;
use super::{Engine, Step, check_amount, check_id};
use crate::packet::bugs::{Bug, made};
use crate::packet::chain::{self, extend};
use crate::packet::command::{Funding, PerMille, Play, Purse, Send, Tie};
use crate::packet::draw;
use crate::packet::ledger::Place;
use crate::packet::names;
use crate::packet::plays::{AmountPolicy, Eligibility};
use crate::packet::reply::{Digest, Done, Happening, Refusal};
use crate::packet::units::Time;

impl Engine {
    pub(super) fn send(&mut self, step: &mut Step, send: &Send<'_>) -> Result<Done, Refusal> {
        check_id(send.account)?;
        step.account = self.accounts.find(send.account);
        self.check_send(step, send)?;
        let relay = self.check_relay(send)?;
        let sender = self.open_account(send.account);
        step.account = Some(sender);
        let number = self.packets.next();
        let escrow = self.ledger.open_escrow();
        assert_eq!(number, escrow, "a packet and its escrow share a number");
        let secret = self.secret.of_packet(send.packet, step.seq.0);
        let commitment = draw::commitment(send.packet, &secret);
        let packet = Packet::new(Sent {
            name: send.packet,
            seq: step.seq,
            sender,
            group: send.group.map(|group| self.group(group)),
            named: match send.play {
                Play::Exclusive { to } => Some(self.open_account(to)),
                _ => None,
            },
            password: match send.play {
                Play::Password { digest } => Some(digest),
                _ => None,
            },
            relay,
            rules: send.play.rules(),
            amount: send.amount,
            shares: send.shares,
            tilt: send.tilt,
            refund_into: match send.funding {
                Funding::Purse(purse) => purse,
                Funding::Bank => Purse::Change,
            },
            time: step.time,
            from: match send.play {
                Play::Timed { from } => from,
                _ => step.time,
            },
            secret,
            head: chain::origin(send, step.time, &commitment),
        });
        self.packets.push(packet);
        step.packet = Some(number);
        let kind = Kind::Send { packet: number, funding: send.funding };
        let transaction = self.begin(step, kind, send.amount).expect("the funds were looked at");
        self.add_packet_id(number);
        self.count_sending(sender, step.time, send);
        if let Some(Relay { after: Some(before), .. }) = relay {
            let before = self.packets[before].relay.as_mut().expect("a relay follows a relay");
            before.went_on = true;
        }
        self.touch(number);
        self.await_decision(transaction, step.time);
        Ok(Done::Sent { commitment })
    }

    /// Everything about a new packet but whether it may follow another one.
    fn check_send(&self, step: &Step, send: &Send<'_>) -> Result<(), Refusal> {
        check_id(send.packet)?;
        check_amount(send.amount)?;
        let rules = send.play.rules();
        let limits = &self.limits;
        if send.shares == 0 || send.shares > limits.shares_max {
            return Err(Refusal::SharesOutOfLimits);
        }
        if rules.single && send.shares != 1 {
            return Err(Refusal::SharesNotOne);
        }
        let shares = u64::from(send.shares);
        let most = u128::from(limits.share_mean_max().0) * u128::from(shares);
        if send.amount.0 < shares || u128::from(send.amount.0) > most {
            return Err(Refusal::ShareAmountOutOfLimits);
        }
        if rules.amounts == AmountPolicy::Equal && !send.amount.0.is_multiple_of(shares) {
            return Err(Refusal::SharesUneven);
        }
        if send.tilt.0 > limits.tilt_per_mille_max {
            return Err(Refusal::TiltTooStrong);
        }
        match send.play {
            Play::Timed { from }
                if from <= step.time || from > step.time.after(limits.timed_ahead_max()) =>
            {
                return Err(Refusal::ReleaseOutOfLimits);
            }
            Play::Exclusive { to } => check_id(to)?,
            _ => {}
        }
        if self.find_packet(send.packet).is_some() {
            return Err(Refusal::PacketIdTaken);
        }
        if let Some(group) = send.group {
            check_id(group)?;
            let group = self.groups.find(group).ok_or(Refusal::NotMember)?;
            let member = step.account.is_some_and(|sender| self.members.contains(&(group, sender)));
            if !member {
                return Err(Refusal::NotMember);
            }
        }
        self.check_day(step, send)?;
        let funded = match (send.funding, step.account) {
            (Funding::Bank, _) => self.ledger.can_owe(send.amount),
            (Funding::Purse(purse), Some(sender)) => {
                let purse = self.ledger.balance(Place::Purse(sender, purse));
                if purse.available() < send.amount {
                    return Err(Refusal::FundsInsufficient);
                }
                true
            }
            (Funding::Purse(_), None) => return Err(Refusal::FundsInsufficient),
        };
        if funded { Ok(()) } else { Err(Refusal::LedgerFull) }
    }

    fn check_day(&self, step: &Step, send: &Send<'_>) -> Result<(), Refusal> {
        let person = step.account.map(|sender| &self.people[u64::from(sender)]);
        let (sends, sent) = match person {
            Some(person) if person.day == step.time.day() => (person.sends, person.sent.0),
            _ => (0, 0),
        };
        let over = |value: u64, limit: u64| limit > 0 && value > limit;
        let sends = u64::from(sends) + 1;
        if over(sends, self.limits.sends_a_day_max.into())
            || over(sent.saturating_add(send.amount.0), self.limits.sent_fen_a_day_max)
        {
            return Err(Refusal::DailyLimit);
        }
        Ok(())
    }

    fn check_relay(&self, send: &Send<'_>) -> Result<Option<Relay>, Refusal> {
        let Play::Relay { next, after } = send.play else {
            return Ok(None);
        };
        let Some(id) = after else {
            return Ok(Some(Relay { next, after: None, went_on: false }));
        };
        let before = self.find_packet(id).ok_or(Refusal::RelayNotFinished)?;
        let packet = &self.packets[before];
        let turn = packet.turn().ok_or(Refusal::RelayNotFinished)?;
        if packet.group != send.group.and_then(|group| self.groups.find(group)) {
            return Err(Refusal::RelayNotFinished);
        }
        if self.accounts.text(turn) != send.account {
            return Err(Refusal::RelayNotYourTurn);
        }
        if packet.relay.is_some_and(|relay| relay.went_on) && !made(Bug::RelayGoesOnTwice) {
            return Err(Refusal::RelayWentOn);
        }
        Ok(Some(Relay { next, after: Some(before), went_on: false }))
    }

    fn count_sending(&mut self, sender: u32, time: Time, send: &Send<'_>) {
        let person = &mut self.people[u64::from(sender)];
        if person.day != time.day() {
            (person.day, person.sends, person.sent) = (time.day(), 0, Default::default());
        }
        person.sends += 1;
        person.sent += send.amount;
    }

    pub(super) fn add_packet_id(&mut self, number: u64) {
        self.packet_numbers.add(names::hash(&self.packets[number].name), number);
    }

    /// A packet whose sending was decided can be claimed from now on, or from its moment on.
    pub(super) fn open(&mut self, number: u64, time: Time) {
        let packet = &mut self.packets[number];
        packet.state = PacketState::Open;
        packet.expires_at = packet.from.max(time).after(self.limits.open());
        let (seq, expires_at) = (packet.seq, packet.expires_at);
        self.agenda.add(expires_at, Due::Expiry(number));
        self.happen(time, Happening::Opened { packet: seq });
    }

    pub(super) fn claim(
        &mut self,
        step: &mut Step,
        account: &str,
        packet: &str,
        guess: Option<Digest>,
        tie: Tie,
    ) -> Result<Done, Refusal> {
        check_id(account)?;
        let number = self.find_packet(packet).ok_or(Refusal::PacketUnknown)?;
        let claimer = self.open_account(account);
        (step.account, step.packet) = (Some(claimer), Some(number));
        self.check_claim(step.time, number, claimer, guess)?;
        let tilt = self.tilt_between(number, claimer);
        let digest = self.people[u64::from(claimer)].digest;
        let packet = &mut self.packets[number];
        let index = packet.claims.len() as u32;
        let (amount, tilt) = packet.draw(tie, tilt);
        packet.add(Claim { account: claimer, amount, seq: step.seq });
        packet.undecided += 1;
        packet.parts.undecided += amount;
        packet.head = extend(&packet.head, &chain::claim(index, amount, step.time, &digest));
        packet.links += 1;
        step.receipt = Some(packet.head);
        let all_taken = packet.shares_left() == 0;
        if all_taken {
            packet.state = PacketState::Exhausted;
            let luckiest = packet.luckiest().expect("there are shares");
            let what = Happening::Exhausted { packet: packet.seq, luckiest, next: packet.turn() };
            self.happen(step.time, what);
        }
        self.touch(number);
        let transaction = self
            .begin(step, Kind::Claim { packet: number }, amount)
            .expect("a packet's shares are in its escrow");
        self.await_decision(transaction, step.time);
        Ok(Done::Claimed { index, amount, tilt })
    }

    fn check_claim(
        &mut self,
        time: Time,
        number: u64,
        claimer: u32,
        guess: Option<Digest>,
    ) -> Result<(), Refusal> {
        let packet = &self.packets[number];
        if packet.has_share(claimer) {
            return Err(Refusal::ClaimedAlready);
        }
        match packet.state {
            PacketState::Waiting => return Err(Refusal::PacketWaiting),
            PacketState::Blocked => return Err(Refusal::PacketBlocked),
            PacketState::Open if time < packet.from => return Err(Refusal::PacketNotYetOpen),
            PacketState::Open if time < packet.expires_at => {}
            PacketState::Open if time == packet.expires_at && made(Bug::ClaimAtExpiryWins) => {}
            _ if packet.shares_left() == 0 => return Err(Refusal::PacketExhausted),
            _ => return Err(Refusal::PacketExpired),
        }
        let is_member = packet.group.is_none_or(|group| self.members.contains(&(group, claimer)))
            || made(Bug::MemberIsNotAsked);
        if packet.rules().eligibility == Eligibility::Named && packet.named != Some(claimer) {
            return Err(Refusal::NotNamed);
        }
        if !is_member {
            return Err(Refusal::NotMember);
        }
        if claimer == packet.sender && !self.limits.sender_may_claim {
            return Err(Refusal::SenderMayNotClaim);
        }
        match packet.rules().eligibility {
            Eligibility::Password => self.check_password(number, claimer, guess),
            Eligibility::Members | Eligibility::Named => Ok(()),
        }
    }

    /// Compares a guess with the password; a wrong one is counted.
    fn check_password(
        &mut self,
        number: u64,
        claimer: u32,
        guess: Option<Digest>,
    ) -> Result<(), Refusal> {
        let most = self.limits.password_guesses_max;
        let packet = &mut self.packets[number];
        let counted = packet.guesses.iter_mut().find(|(guesser, _)| *guesser == claimer);
        if counted.as_ref().map_or(0, |(_, count)| *count) >= most {
            return Err(Refusal::GuessesTooMany);
        }
        if guess == packet.password {
            return Ok(());
        }
        match counted {
            _ if made(Bug::GuessIsNotCounted) => {}
            Some((_, count)) => *count += 1,
            None => packet.guesses.push((claimer, 1)),
        }
        Err(Refusal::PasswordWrong)
    }

    /// How strongly ties tilt a claim: not at all in a group under review for gambling, and not
    /// between accounts that share devices.
    fn tilt_between(&self, number: u64, claimer: u32) -> PerMille {
        let packet = &self.packets[number];
        let reviewed = packet.group.is_some_and(|group| self.under_review[group as usize]);
        let cluster = |account: u32| self.people[u64::from(account)].cluster;
        let linked = cluster(claimer).is_some() && cluster(claimer) == cluster(packet.sender);
        let reviewed = reviewed && !made(Bug::WatchedGroupIsTilted);
        if reviewed || linked { PerMille(0) } else { packet.tilt }
    }

    pub(super) fn expire(&mut self, number: u64) {
        let packet = &mut self.packets[number];
        if packet.state != PacketState::Open && packet.state != PacketState::Exhausted {
            return;
        }
        packet.state = PacketState::Expired;
        let seq = packet.seq;
        let time = self.tick();
        self.happen(time, Happening::Expired { packet: seq });
        self.close_when_over(number, time);
    }

    /// A packet is over when none of its shares waits for a decision, and either nothing is left
    /// in it or its time is over: then the rest goes back, and its secret is told.
    pub(super) fn close_when_over(&mut self, number: u64, time: Time) {
        let packet = &self.packets[number];
        let over = match packet.state {
            PacketState::Exhausted => packet.parts.voided.0 == 0,
            PacketState::Expired => true,
            _ => false,
        };
        let waits = packet.undecided > 0 && !made(Bug::RestGoesBackWhileSharesWait);
        if waits || !over {
            return;
        }
        let (seq, secret, claims) = (packet.seq, packet.secret, packet.claims.len() as u32);
        let rest = packet.parts.in_escrow();
        if rest.0 > 0 {
            let purse = match made(Bug::RestComesIntoOtherPurse) {
                true => Purse::Change,
                false => packet.refund_into,
            };
            let to = Place::Purse(packet.sender, purse);
            self.ledger.post(Place::Escrow(number), to, rest).expect("the rest is in the escrow");
            self.happen(time, Happening::Refunded { packet: seq, amount: rest });
        }
        let packet = &mut self.packets[number];
        (packet.parts.remaining, packet.parts.voided) = Default::default();
        packet.parts.refunded = rest;
        packet.state = PacketState::Closed;
        packet.over_at = Some(time);
        packet.regulated = None;
        packet.head = extend(&packet.head, &chain::close(claims, rest, time, &secret));
        packet.links += 1;
        self.happen(time, Happening::Closed { packet: seq, secret });
        self.touch(number);
    }

    pub(super) fn touch(&mut self, number: u64) {
        let packet = &mut self.packets[number];
        if !packet.touched {
            packet.touched = true;
            self.touched.push(number);
        }
    }
}
