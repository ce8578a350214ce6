// Every word of the page, in English and Chinese. {0}, {1} are filled in by `say`.
const WORDS = {
  subtitle: ['Backtest report', '回测报告'],
  period: ['{0} to {1} (UTC{2})', '{0} 至 {1}（UTC{2}）'],
  noPeriod: ['no transactions', '没有交易'],
  partial: ['This run was interrupted after {0} of {1} records ({2}). All below is about those; the other {3} were not reached.', '本次运行被中断：{1} 条记录中处理了 {0} 条（{2}），其余 {3} 条未及处理。下文只涉及已处理的部分。'],
  warmup: ['{0} transactions of the warm-up are not judged.', '预热期的 {0} 笔交易不计入评判。'],
  noTransactions: ['No transaction was decided, so there is nothing to plot. What became of the records is shown below.', '没有任何交易得到决策，因此无图可画。各条记录的去向见下。'],
  labelsEmpty: ['The file of --labels holds no label, so nobody knows which of these alerts are right.', '--labels 文件中没有标签，无法判断预警是否正确。'],
  noLabels: ['No labels were given, so nobody knows which of these alerts are right. Run the backtest with --labels FILE (CSV, JSON lines or Parquet; columns subject_kind, subject_id, label) to see precision, recall, AUC, precision-recall and ROC curves, fraud money stopped and time to detection.', '未提供标签，无法判断预警是否正确。回测时加上 --labels FILE（CSV、JSON lines 或 Parquet，列为 subject_kind、subject_id、label），即可看到精确率、召回率、AUC、曲线、拦下的欺诈金额和发现用时。'],

  transactions: ['transactions decided', '决策交易'],
  worth: ['worth ¥{0}', '金额 ¥{0}'],
  alerts: ['alerts', '预警'],
  alertsSub: ['{0} of transactions; {1} a day, at most {2}', '占交易 {0}；日均 {1}，最多 {2}'],
  stoppedMoney: ['money stopped', '拦下金额'],
  stoppedMoneySub: ['{0} of the money, by hold or block', '占总金额 {0}，暂缓或拦截'],
  accountsAlerted: ['accounts alerted', '预警账户'],
  accountsAlertedSub: ['{0} of them stopped', '其中 {0} 个被拦下'],
  movedLater: ['moved after a stop', '被拦后又转出'],
  movedLaterSub: ['let through later, from accounts stopped before', '曾被拦下的账户其后放行的金额'],

  truth: ['How right it was', '判得准不准'],
  judgedBy: ['Judged by', '评判依据'],
  event: ['event labels', '交易标签'],
  account: ['account labels', '账户标签'],
  group: ['group labels', '群标签'],
  eventHow: ['Each label judges one transaction; how long it took to find fraud stands with the labels of accounts and groups.', '每条标签评判一笔交易；发现用时见账户与群标签。'],
  accountHow: ['A label judges every transaction in which the account acts.', '标签评判该账户发起的每一笔交易。'],
  groupHow: ['A label judges every transaction in the group.', '标签评判群内的每一笔交易。'],
  labelUse: ['{0} fraud and {1} honest labels; {2} transactions have no label and count as honest.', '欺诈标签 {0} 个，正常标签 {1} 个；{2} 笔交易没有标签，按正常计。'],
  unmatched: ['{0} labels match no transaction: {1}', '{0} 个标签没有匹配任何交易：{1}'],
  unmatchedSoFar: ['{0} labels match no transaction that was reached before the interruption: {1}', '{0} 个标签没有匹配中断前已处理的任何交易：{1}'],
  precision: ['precision', '精确率'],
  precisionSub: ['{0} of {1} alerts are fraud', '{1} 笔预警中 {0} 笔为欺诈'],
  recall: ['recall', '召回率'],
  recallSub: ['{0} of {1} frauds alerted', '{1} 笔欺诈中预警 {0} 笔'],
  f1: ['F1', 'F1'],
  f1Sub: ['the harmonic mean of both', '两者的调和平均'],
  auc: ['AUC', 'AUC'],
  aucSub: ['how often fraud scores above honest; 0.5 is chance', '欺诈得分高于正常的概率；0.5 为随机'],
  ap: ['average precision', '平均精度'],
  apSub: ['chance would reach {0}', '随机水平 {0}'],
  fraudStopped: ['fraud money stopped', '拦下的欺诈金额'],
  fraudStoppedSub: ['{0} of ¥{1}; ¥{2} more moved after a stop', '占 ¥{1} 的 {0}；被拦后又转出 ¥{2}'],
  fraudAccounts: ['fraud accounts alerted', '命中欺诈账户'],
  fraudAccountsSub: ['of {0}; {1} stopped', '共 {0} 个；拦下 {1} 个'],
  honestTouched: ['honest accounts touched', '波及正常账户'],
  honestTouchedSub: ['{0} of them stopped', '其中 {0} 个被拦下'],
  detection: ['time to detection', '发现用时'],
  detectionSub: ['median; 90 % within {0}; {1} of {2} detected', '中位数；九成在 {0} 内；{2} 个中发现 {1} 个'],
  detectionEarly: ['; {0} alerted only before they could be seen', '；另有 {0} 个仅在可发现之前预警'],
  detectionWarmup: ['; left out are {0} that could be seen before the warm-up\'s end', '；{0} 个在预热结束前已可发现，未计入'],

  texts: ['Texts that rules hit', '命中规则的文本'],
  textsHow: ['Up to three texts a rule, those with the highest scores; what its phrases found is marked, also where it was disguised. These are people\'s own words: treat this page as you treat them.', '每条规则至多三段文本，取分数最高者；短语命中之处（含伪装写法）已标出。其中是用户原话，请按相应要求保管本页。'],
  textColumn: ['text', '文本'],
  phrases: ['phrases', '短语'],
  reasonColumn: ['reason', '理由'],
  decision: ['decision', '决策'],
  transactionId: ['transaction', '交易'],

  decided: ['What was decided', '决策结果'],
  allow: ['allow', '放行'], review: ['review', '复核'], hold: ['hold', '暂缓'], block: ['block', '拦截'],
  overTime: ['Alerts over time', '预警随时间'],
  overTimeHow: ['Bars are alerts, one bar each {0}; the thin line is all transactions, on the right-hand axis. A bar that grows while the line does not is worth a look.', '柱为预警，每柱 {0}；细线为全部交易（右轴）。线不动而柱变高的时段值得一看。'],
  moneyTime: ['Money stopped over time', '拦下金额随时间'],
  moneyTimeHow: ['Yuan held or blocked in each {0}.', '每 {0}暂缓或拦截的金额（元）。'],
  moneyTimeFraudHow: ['Yuan held or blocked in each {0}, and the fraud money there was (by {1}). The gap between the line and the red bar got through; the pale bar is honest money that was stopped.', '每 {0}暂缓或拦截的金额，以及当时的欺诈金额（按{1}）。折线高出红柱的部分是漏过的欺诈，浅柱是被误拦的正常金额。'],
  stoppedFraud: ['fraud stopped', '拦下的欺诈'],
  stoppedHonest: ['honest stopped', '误拦的正常'],
  stopped: ['stopped', '拦下'],
  fraudMoney: ['all fraud', '全部欺诈'],

  ranking: ['Ranking by score', '得分与排序'],
  scores: ['Score distribution', '得分分布'],
  scoresHow: ['How many transactions got which score, on a logarithmic axis. Shaded bands are where review, hold and block begin.', '各得分的交易笔数，对数坐标。底色为复核、暂缓、拦截的分数段。'],
  scoresTruthHow: ['Good rules push fraud (red) to the right of honest (blue). Red left of the bands is missed; blue inside them is a false alarm. The axis is logarithmic.', '规则好，则欺诈（红）在正常（蓝）右侧。分数段左边的红是漏报，段内的蓝是误报。对数坐标。'],
  honest: ['honest', '正常'], fraud: ['fraud', '欺诈'], score: ['score', '分值'],
  pr: ['Precision and recall', '精确率与召回率'],
  prHow: ['Each point is a threshold on the score: further right catches more fraud, further up wastes fewer alerts. Rings mark where the bands begin; the diamond is what was decided, rules with a floor included. The curve ends at the lowest score above 0.', '每个点是一个得分阈值：越靠右抓得越多，越靠上误报越少。圆环为各分数段起点；菱形为实际决策（含规则下限）。曲线止于大于 0 的最低得分。'],
  roc: ['ROC curve', 'ROC 曲线'],
  rocHow: ['Share of fraud caught against share of honest transactions alerted. The dashed diagonal is chance; the area under the curve is the AUC.', '欺诈命中比例与正常误报比例之比。虚线为随机；曲线下面积即 AUC。'],
  fpr: ['honest alerted', '正常误报比例'],
  tpr: ['fraud caught', '欺诈命中比例'],
  actual: ['as decided', '实际决策'],
  oneClass: ['This curve needs both fraud and honest transactions.', '需要同时有欺诈与正常的交易才能画出曲线。'],
  threshold: ['score ≥ {0}', '得分 ≥ {0}'],

  rules: ['Rules', '规则'],
  rulesHow: ['Click a heading to sort. Unique: alerts that no other rule hit. Marginal: alerts that would not be without the rule. A rule with no marginal alert could go without a trace.', '点击表头排序。独有：没有其他规则命中的预警。边际：去掉该规则后消失的预警。边际为零的规则去掉也无影响。'],
  rulesTruthHow: ['Click a heading to sort. Precision: share of hits that are fraud. Unique: frauds alerted that no other rule hit. Marginal: alerts that would not be without the rule, fraud (what it adds) and honest (what it costs).', '点击表头排序。精确率：命中中欺诈的比例。独有：仅此规则命中的欺诈预警。边际：去掉该规则后消失的预警，欺诈为收益，正常为代价。'],
  rule: ['rule', '规则'], hits: ['hits', '命中'], hitMoney: ['yuan in hits', '命中金额'],
  fraudHits: ['fraud', '欺诈'], unique: ['unique', '独有'], marginal: ['marginal', '边际'],
  marginalFraud: ['marginal fraud', '边际欺诈'], marginalHonest: ['marginal honest', '边际正常'],
  notEvaluable: ['not evaluable', '无法判定'],
  noRules: ['The rule set has no live rule.', '规则集中没有生效的规则。'],
  hitsTime: ['Rule hits over time', '规则命中随时间'],
  hitsTimeHow: ['Transactions hit, one bar each {0}; a transaction hit by two rules counts in both. A rule that fires only on one day may be tied to an event and not to fraud.', '每 {0}命中的交易数；同时命中两条规则的计两次。只在某一天触发的规则可能与事件有关，而非欺诈。'],
  others: ['other rules', '其他规则'],
  overlap: ['Rule overlap', '规则重叠'],
  overlapHow: ['Of the hits of the rule on the left, the share that the rule with the number above the column hit too. A dark row means that the rule says little that others do not.', '左侧规则的命中中，列上方编号所指的规则也命中的比例。整行深色说明该规则大多与他人重复。'],
  overlapTip: ['{0} of {1} hits', '{1} 次命中中的 {0} 次'],
  noHits: ['No rule hit anything.', '没有规则命中。'],
  shadow: ['Rules in shadow (they do not decide)', '影子规则（不参与决策）'],

  typologies: ['By kind of fraud', '按欺诈类型'],
  typologiesHow: ['A kind with a low recall is what the next rule should be written for. An honest alert is of no kind: for precision it counts for each kind by the share that this has of the frauds to which the alert’s leading rule (that of the highest score) leads.', '召回率低的类型，是下一条规则该补的地方。误报不属于任何类型：计算精确率时，按其主规则（得分最高者）所发现欺诈中各类型的占比，分摊到各类型。'],
  typology: ['typology', '类型'], role: ['role', '角色'], nameless: ['(not stated)', '（未注明）'],
  subjects: ['subjects caught', '发现对象'],
  alertedTransactions: ['transactions alerted', '预警交易'],
  stoppedOf: ['yuan stopped', '拦下金额'], allMoney: ['yuan in all', '总金额'],
  accounts: ['Accounts to look at first', '优先关注的账户'],
  accountsHow: ['By highest score, then by money in alerts.', '按最高得分，再按预警金额排序。'],
  accountId: ['account', '账户'], truthColumn: ['label', '标签'], scoreMax: ['highest score', '最高分'],
  stops: ['stopped', '拦下'], alertMoney: ['yuan in alerts', '预警金额'], stopMoney: ['yuan stopped', '拦下金额'],
  firstAlert: ['first alert', '首次预警'],
  noAlerts: ['No account has an alert.', '没有账户被预警。'],

  records: ['What became of the records', '记录去向'],
  recordsHow: ['Every record is in exactly one of the four. Applied events change features and get no decision.', '每条记录恰在四类之一。“应用”的事件只更新特征，不作决策。'],
  in: ['read', '读入'], decidedCount: ['decided', '决策'], applied: ['applied', '应用'], rejected: ['rejected', '拒收'], duplicates: ['duplicates', '重复'],
  recordsHowPartial: ['Every record is in exactly one of the five. Applied events change features and get no decision; what was not reached changed nothing.', '每条记录恰在五类之一。“应用”的事件只更新特征，不作决策；“未及处理”的记录没有产生任何影响。'],
  unreached: ['not reached', '未及处理'],
  unbalanced: ['These do not add up: records were lost or counted twice.', '数目不平衡：有记录丢失或重复计数。'],
  rejectCode: ['reason', '原因'], count: ['records', '记录数'], example: ['first of them', '首例'],
  breaches: ['Laws of packets that events break', '违反红包规则的事件'],
  breachesHow: ['What the referee finds where it plays the packets again: claims over the shares, a refund of another amount and the like. packet_unknown alone is a stream that begins in the middle.', '裁判按红包规则重放的结论：超份领取、退款金额不符等。仅有 packet_unknown 说明数据从中途开始。'],
  finding: ['finding', '结论'], kind: ['kind', '类型'], events: ['events', '事件数'], firstOnes: ['first of them', '首例'],
  entities: ['Verdicts on accounts and groups', '对账户与群的处置'],
  made: ['How this report was made', '报告如何得出'],
  inputs: ['inputs', '输入'], rulesHash: ['rule set', '规则集'], rulesChanged: ['rules changed', '规则变更'], warmingUntil: ['warming until {0}', '预热至 {0}'],
  modelHash: ['model', '模型'],
  hubs: ['links left out', '未用的关联'],
  hub: ['{0} times over {1} accounts, at most {2}', '{0} 次超过 {1} 个账户，最多 {2} 个'],
  digest: ['decisions digest', '决策摘要'], version: ['version', '版本'], features: ['features used', '使用的特征'],
  reproduce: ['The same inputs and rules give the same digest, with any number of workers.', '相同的输入与规则，在任意并行度下得到相同的摘要。'],
  reproducePartial: ['The digest is of what was decided before the interruption; the whole run has another.', '该摘要只涵盖中断前的决策；完整运行的摘要与此不同。'],
  footer: ['Hongxian {0}. Charts by Apache ECharts (Apache License 2.0). This page loads nothing and sends nothing.', '红线 {0}。图表由 Apache ECharts 绘制（Apache License 2.0）。本页不加载、不发送任何内容。'],

  minute: ['minute', '分钟'], minutes: ['{0} minutes', '{0} 分钟'], hour: ['hour', '小时'], hours: ['{0} hours', '{0} 小时'],
  day: ['day', '天'], days: ['{0} days', '{0} 天'],
  dShort: ['{0} d', '{0} 天'], hShort: ['{0} h', '{0} 小时'], minShort: ['{0} min', '{0} 分'], sShort: ['{0} s', '{0} 秒'],
};

const state = { lang: 'en', view: 0, sort: { column: null, down: true } };

/** The words of `key` in the page's language, with {0}, {1} filled in. */
function say(key, ...values) {
  const words = WORDS[key][state.lang === 'zh' ? 1 : 0];
  return words.replace(/\{(\d)\}/g, (_, at) => values[at]);
}

const locale = () => (state.lang === 'zh' ? 'zh-CN' : 'en-GB');
const whole = (value) => value.toLocaleString(locale());
const figure = (value) => (value === null ? '–' : value.toFixed(3));

/** A share of a whole in per cent. */
function percent(part, of) {
  if (of === 0) return '–';
  const value = (100 * part) / of;
  const digits = value === 0 || value === 100 ? 0 : value < 0.1 ? 3 : value < 10 ? 2 : 1;
  return `${value.toFixed(digits)} %`;
}

/** Fen as yuan, to the fen. */
function yuan(fen) {
  return (fen / 100).toLocaleString(locale(), { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

/** Fen as yuan for a headline: three digits and k or M, 万 or 亿. */
function yuanShort(fen) {
  if (Math.abs(fen) < 1000000) return yuan(fen);
  const short = { notation: 'compact', maximumSignificantDigits: 4 };
  return (fen / 100).toLocaleString(state.lang === 'zh' ? 'zh-CN' : 'en-US', short);
}

function lasting(ms) {
  if (ms === null) return '–';
  const units = [['dShort', 86400000], ['hShort', 3600000], ['minShort', 60000]];
  const [key, unit] = units.find(([, unit]) => ms >= unit) || ['sShort', 1000];
  return say(key, (ms / unit).toFixed(1));
}

/** The width of a bin of time in words. */
function every(ms) {
  const [one, many, unit] =
    ms >= 86400000 ? ['day', 'days', 86400000] : ms >= 3600000 ? ['hour', 'hours', 3600000] : ['minute', 'minutes', 60000];
  return ms === unit ? say(one) : say(many, ms / unit);
}
