//! The figures of the domain document that the population is held to, each named where it is used.
//! [`mod@super::fidelity`] sets them beside what came out.

/// What a group is for. The document's three types, and groups of strangers that pass packets round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupType {
    /// 亲友群: kin, friends, colleagues.
    Family,
    /// 兴趣群: courses, hobbies, parents, games.
    Interest,
    /// 商业群: shops, rebates, recruiting.
    Business,
    /// 陌生人群: strangers who grab packets.
    Stranger,
}

impl GroupType {
    /// Every type, in order.
    pub const ALL: [GroupType; 4] =
        [GroupType::Family, GroupType::Interest, GroupType::Business, GroupType::Stranger];

    /// The name in scenario files and labels.
    pub fn name(self) -> &'static str {
        match self {
            GroupType::Family => "family",
            GroupType::Interest => "interest",
            GroupType::Business => "business",
            GroupType::Stranger => "stranger",
        }
    }

    /// How such a group behaves.
    pub fn habits(self) -> &'static Habits {
        &HABITS[self as usize]
    }
}

/// How groups of a type behave.
#[derive(Debug)]
pub struct Habits {
    /// Members, from and to.
    pub members: (i64, i64),
    /// Mean of a packet's total, in fen (单包均值).
    pub mean_fen: i64,
    /// Standard deviation of the logarithm of a packet's total.
    pub sigma: f64,
    /// Sends and claims of a member a month (月均互动次数), in tenths.
    pub interactions_month_tenths: i64,
    /// Packets that a member who sends at all sends that day, in hundredths.
    pub sends_day_hundredths: i64,
    /// Half-hours of the day in which it is most active (日均活跃时段), from and to.
    pub active: (usize, usize),
    /// Weight of each half-hour of the day for its packets.
    pub half_hours: [u32; 48],
    /// How long received money stays.
    pub stay: Stay,
    /// Shares of a packet, and the weight of each number.
    pub shares: &'static [(i64, u32)],
}

/// How long money stays with who received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Median of what moves on within a day (滞留时长), in ms.
    pub dwell_ms: i64,
    /// Mean of the part that is left for longer, in hours: such that all money together turns over
    /// (周转率) as often as the document says.
    pub kept_hours: i64,
}

/// One minute in ms.
pub const MINUTE: i64 = 60_000;
/// One hour in ms.
pub const HOUR: i64 = 60 * MINUTE;
/// One day in ms.
pub const DAY: i64 = 24 * HOUR;

/// Share of packets that go through groups, in thousandths (30 %).
pub const GROUP_SHARE_PERMILLE: i64 = 300;
/// Mean of all packets in fen: 2.8 trillion yuan a year over 1,000 million packets a day.
pub const ALL_MEAN_FEN: i64 = 767;
/// Share of received money that moves on within a day, in thousandths (91 %).
pub const RECIRCULATED_PERMILLE: i64 = 910;
/// Mean packet of business groups in the Pearl and Yangtze deltas, in fen.
pub const DELTA_BUSINESS_MEAN_FEN: i64 = 3580;
/// Mean packet of all groups of the middle and west, in fen.
pub const INLAND_MEAN_FEN: i64 = 1240;
/// Share of business groups among the deltas' groups, in thousandths ("more than 60 %").
pub const DELTA_BUSINESS_PERMILLE: i64 = 625;
/// Share of family groups among the middle and west's groups, in thousandths.
pub const INLAND_FAMILY_PERMILLE: i64 = 780;
/// Share of banned groups in Shandong, Henan and Hebei, in thousandths.
pub const BANNED_REGION_PERMILLE: i64 = 620;
/// Share of those aged 18 to 25 who join relay packets, in thousandths.
pub const YOUNG_RELAY_PERMILLE: u64 = 730;
/// Share of those aged 26 to 45 who widen their contacts through groups, in thousandths.
pub const MIDDLE_CONTACTS_PERMILLE: u64 = 410;
/// Share of those aged 46 and more who would rather watch the grandchildren, in thousandths.
pub const OLDER_WATCHERS_PERMILLE: u64 = 830;
/// How often money turns over in a day (周转率), in tenths: among family and friends, in business
/// and in gambling.
pub const TURNOVER_TENTHS: [i64; 3] = [18, 32, 57];
/// Flows of money out of packets: in the order of [`TURNOVER_TENTHS`], then all others.
pub const FLOWS: usize = TURNOVER_FLOWS + 1;
/// Flows of which the document gives the turnover.
pub const TURNOVER_FLOWS: usize = TURNOVER_TENTHS.len();
/// How often money turns over can be told of what came in so long before the end, by flow, in ms: by
/// then nearly all of it has moved.
pub const TURNOVER_TOLD_MS: [i64; TURNOVER_FLOWS] = [7 * DAY, 5 * DAY, 3 * DAY];
/// In fewer days that cannot be seen.
pub const TURNOVER_DAYS_MIN: i64 = 12;
/// How long money stays with a gambler.
pub const GAMBLING_STAY: Stay = Stay { dwell_ms: 40 * MINUTE, kept_hours: 35 };
/// Mean sent a day by a member of a group of strangers who sends, in fen (客单价).
pub const STRANGER_MEMBER_DAY_FEN: i64 = 2200;
/// Mean sent a day by a member of a family group who sends, in fen (客单价).
pub const FAMILY_MEMBER_DAY_FEN: i64 = 1500;

/// Weights of the half-hours of a day: a floor by night, more by day, `peak` in the active hours.
const fn half_hours(active: (usize, usize), peak: u32) -> [u32; 48] {
    let mut weights = [0; 48];
    let mut at = 0;
    while at < 48 {
        weights[at] = match at {
            0 => 6,
            1..=13 => 1,
            14..=17 => 6,
            18..=35 => 10,
            36..=45 => 14,
            _ => 9,
        };
        if at >= active.0 && at < active.1 {
            weights[at] = peak;
        }
        at += 1;
    }
    weights
}

static HABITS: [Habits; 4] = [
    Habits {
        members: (6, 14),
        mean_fen: 870,
        sigma: 1.0,
        interactions_month_tenths: 127,
        sends_day_hundredths: 172,
        active: (40, 44),
        half_hours: half_hours((40, 44), 68),
        stay: Stay { dwell_ms: 3 * HOUR, kept_hours: 158 },
        shares: &[(3, 10), (4, 15), (5, 25), (6, 20), (8, 20), (10, 10)],
    },
    Habits {
        members: (16, 30),
        mean_fen: 1520,
        sigma: 1.055,
        interactions_month_tenths: 453,
        sends_day_hundredths: 130,
        active: (39, 42),
        half_hours: half_hours((39, 42), 100),
        stay: Stay { dwell_ms: 3 * HOUR, kept_hours: 158 },
        shares: &[(5, 20), (6, 10), (8, 20), (10, 35), (15, 10), (20, 5)],
    },
    Habits {
        members: (16, 26),
        mean_fen: 2850,
        sigma: 0.9,
        interactions_month_tenths: 453,
        sends_day_hundredths: 320,
        active: (28, 32),
        half_hours: half_hours((28, 32), 70),
        stay: Stay { dwell_ms: 90 * MINUTE, kept_hours: 78 },
        shares: &[(5, 15), (6, 15), (8, 30), (10, 30), (15, 10)],
    },
    Habits {
        members: (40, 80),
        mean_fen: 1100,
        sigma: 0.8,
        interactions_month_tenths: 453,
        sends_day_hundredths: 200,
        active: (42, 47),
        half_hours: half_hours((42, 47), 50),
        stay: Stay { dwell_ms: 2 * HOUR, kept_hours: 80 },
        shares: &[(5, 30), (8, 30), (10, 40)],
    },
];

/// Amounts that people choose because they mean something, in fen.
pub const LUCKY_FEN: &[i64] = &[
    66, 88, 99, 100, 166, 168, 188, 200, 500, 520, 521, 600, 666, 800, 888, 999, 1000, 1111, 1314,
    1600, 1666, 1688, 1800, 1888, 2000, 2888, 3000, 3344, 3666, 5000, 5200, 6000, 6600, 6666, 6688,
    8800, 8888, 9999, 10000, 12000, 13140, 16800, 18800, 20000,
];

/// A province: its GB/T 2260 code, where it lies, and its weight among accounts.
pub type Province = (u32, Zone, u32);

/// The parts of the country that the document tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zone {
    /// The Pearl and Yangtze deltas.
    Delta,
    /// The middle and west.
    Inland,
    /// The rest of the coast, the north and the north-east.
    Rest,
}

/// The provinces, from the largest part of the accounts down. Weights are millions of people, about.
pub const PROVINCES: &[Province] = &[
    (440000, Zone::Delta, 126),
    (320000, Zone::Delta, 85),
    (330000, Zone::Delta, 65),
    (310000, Zone::Delta, 25),
    (410000, Zone::Inland, 99),
    (510000, Zone::Inland, 84),
    (430000, Zone::Inland, 66),
    (340000, Zone::Inland, 61),
    (420000, Zone::Inland, 58),
    (450000, Zone::Inland, 50),
    (530000, Zone::Inland, 47),
    (360000, Zone::Inland, 45),
    (610000, Zone::Inland, 40),
    (520000, Zone::Inland, 39),
    (140000, Zone::Inland, 35),
    (500000, Zone::Inland, 32),
    (620000, Zone::Inland, 25),
    (650000, Zone::Inland, 26),
    (370000, Zone::Rest, 102),
    (130000, Zone::Rest, 75),
    (210000, Zone::Rest, 43),
    (350000, Zone::Rest, 42),
    (230000, Zone::Rest, 32),
    (110000, Zone::Rest, 22),
    (220000, Zone::Rest, 24),
    (120000, Zone::Rest, 14),
];

/// Provinces in which most banned groups were found: Shandong, Henan, Hebei.
pub const BANNED_PROVINCES: [u32; 3] = [370000, 410000, 130000];

/// Where a province lies.
pub fn zone_of(province: u32) -> Zone {
    PROVINCES.iter().find(|(code, ..)| *code == province).map_or(Zone::Rest, |(_, zone, _)| *zone)
}
