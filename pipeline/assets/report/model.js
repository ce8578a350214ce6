// The section of the model: rules alone, model alone, both, and a challenger, side by side.

Object.assign(WORDS, {
  model: ['Rules and model', '规则与模型'],
  modelHow: ['Four ways to decide on the same transactions: the rules alone, the model alone (the bands over its own score), both as policy.toml blends them, and a challenger in the model’s place. “At the rules’ budget” takes as many transactions as the rules alert, those of the highest score first: it compares rankings and not thresholds. Judged by {0}.', '同一批交易的几种决策方式：仅规则、仅模型（按模型分套用分数段）、按 policy.toml 合成的两者，以及以挑战者替换模型。“同等预警量”取与规则预警数相同的最高分交易，比较的是排序而非阈值。评判依据：{0}。'],
  modelHowBare: ['The rules alone, the model alone (the bands over its own score), both as policy.toml blends them, and a challenger in the model’s place. Without labels only alerts can be compared.', '仅规则、仅模型（按模型分套用分数段）、按 policy.toml 合成的两者，以及以挑战者替换模型。没有标签时只能比较预警数。'],
  way: ['way', '方式'],
  wayRules: ['rules alone', '仅规则'], wayModel: ['model alone', '仅模型'], wayBoth: ['rules and model', '规则加模型'], wayChallenger: ['rules and challenger', '规则加挑战者'],
  honestAccounts: ['honest accounts touched', '波及正常账户'],
  fraudYuan: ['fraud stopped, yuan', '拦下欺诈金额（元）'],
  atBudget: ['precision at the rules’ budget', '同等预警量精确率'], yuanAtBudget: ['fraud in it, yuan', '其中欺诈金额（元）'],
  modelTypologies: ['Frauds alerted by kind', '按欺诈类型的预警'],
  modelTypologiesHow: ['Of each kind’s transactions, the share that each way alerts. Where “rules and model” is no better than one of the two, the other adds only cost there.', '各类欺诈交易中被每种方式预警的比例。若“规则加模型”不优于其一，则另一方在该类只增加成本。'],
  modelScores: ['Model scores', '模型分分布'],
  modelScoresHow: ['How many transactions got which score of the model, on a logarithmic axis.', '各模型分的交易笔数，对数坐标。'],
  modelPr: ['Precision and recall of each way', '各方式的精确率与召回率'],
  modelPrHow: ['Each curve ranks by the score of one way; the higher, the fewer alerts are wasted for the same recall.', '每条曲线按一种方式的得分排序；越高，同样召回率下误报越少。'],
  calibration: ['Calibration', '校准'],
  calibrationHow: ['What the model’s score says against what came true, a point for each {0} points of score, larger for more transactions, both axes logarithmic. Above the diagonal the model is too mild, below it too strict.', '模型分所称的概率与实际欺诈率，每 {0} 分一个点，点越大交易越多，双对数坐标。对角线上方偏松，下方偏严。'],
  predicted: ['predicted', '预测'], observed: ['came true', '实际'],
  common: ['Champion and challenger, each with the rules: {0} alerts in common ({1} fraud), {2} of the champion only ({3} fraud), {4} of the challenger only ({5} fraud).', '冠军与挑战者（均含规则）：共同预警 {0} 笔（欺诈 {1}），仅冠军 {2} 笔（欺诈 {3}），仅挑战者 {4} 笔（欺诈 {5}）。'],
  modelFacts: ['The model', '所用模型'], challengerFacts: ['The challenger', '挑战者'],
  modelKind: ['{0}, {1} inputs', '{0}，{1} 个输入'], modelName: ['name', '名称'],
  modelBlend: ['policy', '策略'],
  blend_joint: ['the larger of the rules’ score and the model’s raised by a share of the rules’', '规则分与（加上部分规则分的）模型分取较大'],
  blend_max: ['the larger of both scores', '取两者较大'], blend_sum: ['the sum of both scores', '两者相加'], blend_rules: ['shadow: the rules’ score alone', '影子：只用规则分'],
  modelWeight: ['{0}; {1} % of the model’s score, from {2} on', '{0}；模型分按 {1} % 计，自 {2} 分起'],
  modelSays: [' (a probability of {0} %)', '（概率 {0} %）'],
  modelOdd: ['The score of an isolation forest says how odd a transaction is, and no probability: what it would alert on alone tells nothing, how it ranks does.', '孤立森林的分数表示异常程度，不是概率：其单独预警数没有意义，排序才有意义。'],
  trainedOn: ['trained on', '训练数据'], important: ['reads above all', '最看重'],
  part_train: ['training', '训练'], part_calibration: ['calibration', '校准'], part_test: ['test', '测试'],
  partTold: ['{0}: {1} to {2}, {3} transactions, {4} of fraud', '{0}:{1} 至 {2},{3} 笔交易,欺诈 {4} 笔'],
  onItsTest: ['on its own test part', '在自身测试集上'],
  cardFigure: ['{0} {1} ({2} to {3})', '{0} {1}({2} 至 {3})'],
  unscored: ['{0} transactions have no model score.', '{0} 笔交易没有模型分。'],
});

const CALIBRATION_FLOOR = 0.0001;
const wayName = (way) => say(`way${way.name[0].toUpperCase()}${way.name.slice(1)}`);
const wayColour = (at) => [colour('soft'), RULE_COLOURS[0], colour('accent'), RULE_COLOURS[1]][at];
const total = (mix) => VERDICTS.reduce((sum, verdict) => sum + mix[verdict].count, 0);

function modelPrecisionRecall(comparison) {
  const series = comparison.ways.map((way, at) => {
    const frauds = total(way.fraud);
    const value = (point) => [point.fraud / frauds, point.fraud / (point.fraud + point.honest)];
    return {
      name: wayName(way), type: 'line', showSymbol: false, lineStyle: { width: 2, color: wayColour(at) },
      itemStyle: { color: wayColour(at) }, data: way.curve.map((point) => ({ value: value(point), point })),
    };
  });
  const rate = (name, more) => axis({ type: 'value', min: 0, max: 1, name, ...more });
  const tooltip = {
    ...base().tooltip, trigger: 'item',
    formatter: ({ seriesName, data: { point, value } }) =>
      [`<b>${escapeHtml(seriesName)}</b>`, say('threshold', point.score), `${say('precision')} ${figure(value[1])}`, `${say('recall')} ${figure(value[0])}`].join('<br>'),
  };
  return base({
    grid: { ...base().grid, bottom: 24, top: 52 }, tooltip,
    xAxis: rate(say('recall'), { nameLocation: 'middle', nameGap: 28 }), yAxis: rate(say('precision'), {}), series,
  });
}

function calibrationPlot(comparison, fact) {
  const says = (score) => (fact.scale === 'log_odds' ? 1 / (1 + 2 ** ((500 - score) / 50)) : score / 1000);
  const bins = comparison.calibration.filter((bin) => bin.transactions && bin.fraud);
  const point = (bin) => ({
    value: [Math.max(says(bin.score_sum / bin.transactions), CALIBRATION_FLOOR), Math.max(bin.fraud / bin.transactions, CALIBRATION_FLOOR)],
    bin, symbolSize: 6 + 3 * Math.log10(bin.transactions),
  });
  const rate = (name, more) => {
    const made = axis({ type: 'log', min: CALIBRATION_FLOOR, max: 1, name, ...more });
    made.axisLabel.formatter = (value) => `${Number((100 * value).toPrecision(2))} %`;
    return made;
  };
  const tooltip = {
    ...base().tooltip, trigger: 'item',
    formatter: ({ data: { bin, value } }) => (bin
      ? [`${say('predicted')} ${percent(value[0], 1)}`, `${say('observed')} ${percent(bin.fraud, bin.transactions)}`, `${say('fraud')} ${whole(bin.fraud)} / ${whole(bin.transactions)}`].join('<br>')
      : ''),
  };
  return base({
    grid: { ...base().grid, bottom: 24, top: 30 }, tooltip, legend: { show: false },
    xAxis: rate(say('predicted'), { nameLocation: 'middle', nameGap: 28 }), yAxis: rate(say('observed'), {}),
    series: [
      { type: 'line', silent: true, symbol: 'none', lineStyle: { type: 'dashed', width: 1, color: colour('soft') }, data: [[CALIBRATION_FLOOR, CALIBRATION_FLOOR], [1, 1]].map((value) => ({ value })) },
      { type: 'scatter', itemStyle: { color: colour('accent') }, data: bins.map(point) },
    ],
  });
}

function modelTable(comparison) {
  const judged = comparison.subject !== null;
  const stopped = (way) => stoppedOf(way.fraud, 'fen');
  const columns = [
    { head: say('way'), word: true, cell: (way) => wayName(way) },
    { head: say('alerts'), value: (way) => way.alerts.count },
  ];
  if (judged) {
    columns.push(
      { head: say('precision'), cell: (way) => withBar(way.precision, true) },
      { head: say('recall'), cell: (way) => withBar(way.recall, true) },
      { head: say('ap'), cell: (way) => figure(way.average_precision) },
      { head: say('auc'), cell: (way) => figure(way.auc) },
      { head: say('fraudYuan'), cell: (way) => yuan(stopped(way)) },
      { head: say('honestAccounts'), value: (way) => way.honest_accounts_alerted },
      { head: say('atBudget'), cell: (way) => figure(way.at_budget.precision) },
      { head: say('yuanAtBudget'), cell: (way) => yuan(way.at_budget.fraud_fen) });
  }
  return el('section', { class: 'card' }, table(columns, comparison.ways));
}

function modelTypologies(comparison) {
  const [first] = comparison.ways;
  if (comparison.subject === null || !first.typologies.length) return [];
  const rows = first.typologies.map((one) => ({
    name: one.name, transactions: one.transactions,
    ways: comparison.ways.map((way) => way.typologies.find((held) => held.name === one.name)),
  }));
  const of = (row, at) => (row.ways[at] ? withBar(row.ways[at].alerted / row.transactions, true) : '–');
  const columns = [
    { head: say('typology'), word: true, cell: (row) => (row.name ? foreign(row.name) : say('nameless')) },
    { head: say('transactions'), value: (row) => row.transactions },
    ...comparison.ways.map((way, at) => ({ head: wayName(way), cell: (row) => of(row, at) })),
  ];
  return [el('section', { class: 'card' }, el('h3', null, say('modelTypologies')), el('p', { class: 'how' }, say('modelTypologiesHow')), table(columns, rows))];
}

/** What the model's card says of its training. */
function trainingFacts(fact, row) {
  const { training } = fact;
  if (!training) return [];
  const offset = data.judgement.timeline.utc_offset_ms;
  const day = (ms) => (ms === null ? '–' : localTime(ms, offset, false));
  const name = (part) => (WORDS[`part_${part}`] ? say(`part_${part}`) : part);
  const part = (one) => el('div', null, say('partTold', name(one.name), day(one.first), day(one.last), whole(one.rows), whole(one.fraud)));
  const told = (word, held) => held && el('div', null, say('cardFigure', say(word), ...held.map((value) => (value / 1000).toFixed(3))));
  return [
    training.data ? row('trainedOn', foreign(training.data)) : row('trainedOn', ''),
    el('dt', null, ''), el('dd', null, training.parts.map(part)),
    training.auc ? row('onItsTest', told('auc', training.auc), told('ap', training.average_precision)) : null,
    training.important.length ? row('important', training.important.map((one, at) => [at ? ', ' : '', foreign(one)])) : null,
  ];
}

function modelFact(title, fact) {
  const row = (key, ...value) => [el('dt', null, say(key)), el('dd', null, value)];
  return el('section', { class: 'card' }, el('h3', null, title), el('dl', null,
    fact.name ? row('modelName', foreign(fact.name)) : null,
    el('dt', null, ''), el('dd', null, say('modelKind', fact.kind, whole(fact.inputs)), ' ', foreign(fact.path)),
    row('modelBlend', fact.blend === 'rules'
      ? say('blend_rules')
      : say('modelWeight', say(`blend_${fact.blend}`), fact.weight, fact.at_least) + say('modelSays', fact.at_least_per_mille / 10)),
    trainingFacts(fact, row),
    el('dt', null, 'BLAKE3'), el('dd', null, el('code', null, fact.hash))));
}

/** The section; nothing where the run had no model. */
function modelSection() {
  const { comparison } = data.judgement;
  const { model, challenger } = data.run;
  if (!model || !comparison) return [];
  const judged = comparison.subject !== null;
  const parts = [
    el('h2', null, say('model')),
    el('p', { class: 'how' }, judged ? say('modelHow', say(comparison.subject)) : say('modelHowBare')),
    modelTable(comparison),
  ];
  if (comparison.common) {
    const { both, champion_only: champion, challenger_only: other, fraud } = comparison.common;
    parts.push(note(say('common', ...[both, fraud[0], champion, fraud[1], other, fraud[2]].map(whole))));
  }
  if (comparison.unscored) parts.push(note(say('unscored', whole(comparison.unscored))));
  if ([model, challenger].some((fact) => fact?.scale === 'anomaly')) parts.push(note(say('modelOdd')));
  parts.push(...modelTypologies(comparison));
  const held = { scores: comparison.model_scores };
  const bare = { ...data, judgement: { ...data.judgement, scores: held.scores.map(([score, honest]) => [score, honest]) } };
  const histogram = plot(say('modelScores'), say('modelScoresHow'), () => scores(bare, judged ? held : null));
  if (!judged) return [...parts, histogram, modelFact(say('modelFacts'), model), challenger ? modelFact(say('challengerFacts'), challenger) : null];
  const calibration = () => plot(say('calibration'), say('calibrationHow', 1000 / comparison.calibration.length), () => calibrationPlot(comparison, model), 360);
  parts.push(
    el('div', { class: 'grid halves', style: 'margin-top:14px' },
      plot(say('modelPr'), say('modelPrHow'), () => modelPrecisionRecall(comparison), 360),
      model.scale === 'anomaly' ? null : calibration()),
    el('div', { style: 'margin-top:14px' }, histogram),
    modelFact(say('modelFacts'), model),
    challenger ? modelFact(say('challengerFacts'), challenger) : null);
  return parts;
}
