// The plots: each function turns figures into an option of Apache ECharts.

const SCORE_BIN = 25;
const HITS_RULES_MAX = 8;
const OVERLAP_RULES_MAX = 20;
const VERDICTS = ['allow', 'review', 'hold', 'block'];
/** Colours for rules: told apart also by those who see red and green alike. */
const RULE_COLOURS = ['#4a7fb5', '#e0a528', '#b8102a', '#4c9f8b', '#8a63a8', '#e0702a', '#7a8699', '#c77aa5'];

/** Text from events, safe inside the HTML of a tooltip. */
const escapeHtml = (text) =>
  String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const dot = (fill) =>
  `<span style="display:inline-block;width:9px;height:9px;border-radius:3px;margin-right:6px;background:${fill}"></span>`;

/** A time by the clock of the run, not by that of the reader. */
function localTime(ms, offset, withTime) {
  const at = new Date(ms + offset);
  const date = `${at.getUTCFullYear()}-${pad(at.getUTCMonth() + 1)}-${pad(at.getUTCDate())}`;
  return withTime ? `${date} ${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}` : date;
}

/** The labels of the bins of time: as short as their width allows. */
function binLabels(timeline) {
  const fine = timeline.width_ms < 86400000;
  return timeline.bins.map((bin) => {
    const label = localTime(bin.start, timeline.utc_offset_ms, fine);
    return fine ? label.slice(5) : label;
  });
}

function timeAxis(timeline) {
  return axis({ type: 'category', data: binLabels(timeline), splitLine: { show: false } });
}

function mixOverTime(data) {
  const { timeline } = data.judgement;
  const bars = VERDICTS.slice(1).map((verdict, at) => ({
    name: say(verdict), type: 'bar', stack: 'alerts', barCategoryGap: '12%',
    itemStyle: { color: colour(verdict) }, data: timeline.bins.map((bin) => bin.decisions[at + 1]),
  }));
  const all = {
    name: say('transactions'), type: 'line', yAxisIndex: 1, symbol: 'none',
    lineStyle: { width: 1.2, color: colour('allow') }, itemStyle: { color: colour('allow') },
    data: timeline.bins.map((bin) => bin.decisions.reduce((sum, count) => sum + count, 0)),
  };
  return base({
    xAxis: timeAxis(timeline),
    yAxis: [axis({ type: 'value', minInterval: 1 }), axis({ type: 'value', minInterval: 1, splitLine: { show: false } })],
    series: [...bars, all],
  });
}

function moneyOverTime(data) {
  const { timeline, truth } = data.judgement;
  const labelled = truth.events || truth.accounts || truth.groups;
  const bar = (name, fill, values) => ({
    name, type: 'bar', stack: 'stopped', barCategoryGap: '12%', itemStyle: { color: fill }, data: timeline.bins.map(values),
  });
  const series = labelled
    ? [
        bar(say('stoppedFraud'), colour('fraud'), (bin) => bin.fraud_stopped.fen / 100),
        bar(say('stoppedHonest'), colour('honest') + '88', (bin) => (bin.stopped_fen - bin.fraud_stopped.fen) / 100),
        {
          name: say('fraudMoney'), type: 'line', step: 'middle', symbol: 'none',
          lineStyle: { width: 1.6, color: colour('ink') }, itemStyle: { color: colour('ink') },
          data: timeline.bins.map((bin) => bin.fraud.fen / 100),
        },
      ]
    : [bar(say('stopped'), colour('block'), (bin) => bin.stopped_fen / 100)];
  const tooltip = { ...base().tooltip, valueFormatter: (value) => `¥${yuan(value * 100)}` };
  const money = axis({ type: 'value' });
  money.axisLabel.formatter = (value) => `¥${yuanShort(value * 100).replace(/\.00$/, '')}`;
  return base({ tooltip, xAxis: timeAxis(timeline), yAxis: money, series });
}

/** Shaded bands of the score, from the policy. */
function bandAreas(bands) {
  const edges = [['review', bands.review, bands.hold], ['hold', bands.hold, bands.block], ['block', bands.block, 1000]];
  return {
    silent: true,
    data: edges.filter(([, from, to]) => from < to).map(([verdict, from, to]) => [
      {
        xAxis: from, name: say(verdict), itemStyle: { color: colour(verdict), opacity: 0.13 },
        label: { color: colour('soft'), position: 'insideTop' },
      },
      { xAxis: to },
    ]),
  };
}

function scores(data, view) {
  const bins = (rows) => {
    const counts = new Array(1000 / SCORE_BIN).fill(0);
    for (const [score, count] of rows) counts[Math.min(Math.floor(score / SCORE_BIN), counts.length - 1)] += count;
    // A logarithmic axis has no place for nothing.
    return counts.map((count, at) => [at * SCORE_BIN + SCORE_BIN / 2, count || null]);
  };
  const bar = (name, fill, rows) => ({
    name, type: 'bar', barGap: '0%', barCategoryGap: '10%', itemStyle: { color: fill }, data: bins(rows),
  });
  const series = view
    ? [
        bar(say('honest'), colour('honest'), view.scores.map(([score, honest]) => [score, honest])),
        bar(say('fraud'), colour('fraud'), view.scores.map(([score, , fraud]) => [score, fraud])),
      ]
    : [bar(say('transactions'), colour('honest'), data.judgement.scores)];
  series[0].markArea = bandAreas(data.run.bands);
  const count = axis({ type: 'log', min: 0.6 });
  count.axisLabel.formatter = (value) => (value < 1 ? '' : whole(value));
  const tooltip = {
    ...base().tooltip,
    formatter: (points) => {
      const from = points[0].value[0] - SCORE_BIN / 2;
      const to = from + SCORE_BIN === 1000 ? 1000 : from + SCORE_BIN - 1;
      const lines = points.filter((p) => p.value[1]).map((p) => `${dot(p.color)}${p.seriesName} ${whole(p.value[1])}`);
      return [`${say('score')} ${from}–${to}`, ...lines].join('<br>');
    },
  };
  const xAxis = axis({
    type: 'value', min: 0, max: 1000, interval: 100, splitLine: { show: false },
    name: say('score'), nameLocation: 'middle', nameGap: 28,
  });
  const grid = { ...base().grid, bottom: 24 };
  return base({ grid, tooltip, xAxis, yAxis: count, series, legend: view ? base().legend : { show: false } });
}

/** The points of a view's curve with what is plotted of them. */
function rates(view) {
  const total = (mix) => VERDICTS.reduce((sum, verdict) => sum + mix[verdict].count, 0);
  const [frauds, honests] = [total(view.fraud), total(view.honest)];
  const rate = (point) => ({
    ...point,
    recall: point.fraud / frauds,
    precision: point.fraud / (point.fraud + point.honest),
    fpr: point.honest / honests,
  });
  return { frauds, honests, rate, points: view.curve.map(rate) };
}

/** A curve of so many of the points, with rings where the bands begin and a diamond for what was decided. */
function curvePlot(data, view, x, y, xName, yName, extra, drawn = () => true) {
  const { rate, points } = rates(view);
  const at = (point) => ({ value: [point[x], point[y]], point });
  const rings = VERDICTS.slice(1).map((verdict) => {
    const reached = points.filter((point) => point.score >= data.run.bands[verdict]);
    const ring = reached.length ? at(reached[reached.length - 1]) : null;
    return {
      name: say(verdict), type: 'scatter', symbolSize: 13, z: 5, data: ring ? [ring] : [],
      itemStyle: { color: colour('card'), borderColor: colour(verdict), borderWidth: 3 },
    };
  });
  const actual = rate({ fraud: view.confusion.true_positives, honest: view.confusion.false_positives });
  const decided = {
    name: say('actual'), type: 'scatter', symbol: 'diamond', symbolSize: 13, z: 6,
    itemStyle: { color: colour('ink') }, data: actual.fraud + actual.honest ? [at(actual)] : [],
  };
  const tooltip = {
    ...base().tooltip, trigger: 'item',
    formatter: ({ seriesName, data: { point } }) => [
      `<b>${point.score === undefined ? escapeHtml(seriesName) : say('threshold', point.score)}</b>`,
      `${say('precision')} ${figure(point.precision)}`,
      `${say('recall')} ${figure(point.recall)}`,
      `${say('fraud')} ${whole(point.fraud)}, ${say('honest')} ${whole(point.honest)}`,
    ].join('<br>'),
  };
  const rateAxis = (name, location) => axis({ type: 'value', min: 0, max: 1, name, ...location });
  const line = {
    type: 'line', symbolSize: 4, showSymbol: points.length <= 60, z: 3,
    lineStyle: { width: 2, color: colour('accent') }, itemStyle: { color: colour('accent') },
    data: points.filter(drawn).map(at), ...extra,
  };
  return base({
    grid: { ...base().grid, bottom: 24, top: 52 },
    tooltip,
    legend: { ...base().legend, data: [...rings, decided].map((series) => series.name) },
    xAxis: rateAxis(xName, { nameLocation: 'middle', nameGap: 28 }),
    yAxis: rateAxis(yName, {}),
    series: [line, ...rings, decided],
  });
}

// At 0 everything is alerted: no threshold lies on the way there, so that a line to it would promise what none gives.
const precisionRecall = (data, view) =>
  curvePlot(data, view, 'recall', 'precision', say('recall'), say('precision'), {}, (point) => point.score > 0);

function roc(data, view) {
  const diagonal = {
    silent: true, symbol: 'none', label: { show: false },
    lineStyle: { type: 'dashed', color: colour('soft') }, data: [[{ coord: [0, 0] }, { coord: [1, 1] }]],
  };
  const option = curvePlot(data, view, 'fpr', 'recall', say('fpr'), say('tpr'), { markLine: diagonal });
  option.series[0].data.unshift({ value: [0, 0], point: { fraud: 0, honest: 0, precision: null, recall: 0 } });
  return option;
}

/** The rules that hit something, by hits, as indices into the rule set. */
function rulesByHits(data) {
  const { rules } = data.judgement;
  return rules.map((_, at) => at).filter((at) => rules[at].hits.count > 0)
    .sort((a, b) => rules[b].hits.count - rules[a].hits.count || a - b);
}

const ruleName = (rule) => (state.lang === 'zh' && rule.title_zh) || rule.title || rule.id;

function hitsOverTime(data) {
  const { timeline, rules } = data.judgement;
  const order = rulesByHits(data);
  const series = order.slice(0, HITS_RULES_MAX).map((rule, at) => ({
    name: ruleName(rules[rule]), type: 'bar', stack: 'hits', barCategoryGap: '12%',
    itemStyle: { color: RULE_COLOURS[at] }, data: timeline.bins.map((bin) => bin.rule_hits[rule]),
  }));
  const rest = order.slice(HITS_RULES_MAX);
  if (rest.length) {
    series.push({
      name: say('others'), type: 'bar', stack: 'hits', itemStyle: { color: colour('line') },
      data: timeline.bins.map((bin) => rest.reduce((sum, rule) => sum + bin.rule_hits[rule], 0)),
    });
  }
  return base({
    grid: { ...base().grid, top: 84 },
    legend: { ...base().legend, type: 'plain' },
    xAxis: timeAxis(timeline), yAxis: axis({ type: 'value', minInterval: 1 }), series,
  });
}

function overlap(data) {
  const { rules, overlap: pairs } = data.judgement;
  const order = rulesByHits(data).slice(0, OVERLAP_RULES_MAX);
  const place = new Map(order.map((rule, at) => [rule, at]));
  const names = order.map((rule) => ruleName(rules[rule]));
  const cells = [];
  const cell = (row, column, both) =>
    cells.push({ value: [place.get(column), place.get(row), both / rules[row].hits.count], both, of: rules[row].hits.count });
  for (const { a, b, both } of pairs) {
    if (place.has(a) && place.has(b)) {
      cell(a, b, both);
      cell(b, a, both);
    }
  }
  const label = {
    show: order.length <= 12, fontSize: 12, color: 'inherit',
    formatter: ({ value }) => `${Math.round(100 * value[2])}%`,
  };
  // Dark cells carry light text; the label's colour is set cell by cell as ECharts has no rule for it.
  for (const one of cells) one.label = { color: one.value[2] > 0.45 ? '#fff' : colour('ink') };
  const tooltip = {
    ...base().tooltip, trigger: 'item',
    formatter: ({ data: one }) =>
      `${escapeHtml(names[one.value[1]])}<br>${escapeHtml(names[one.value[0]])}<br><b>${say('overlapTip', whole(one.both), whole(one.of))}</b>`,
  };
  const short = (name) => (name.length > 26 ? `${name.slice(0, 25)}…` : name);
  // The longest name makes room for all: about seven pixels a letter, twice that a Chinese character.
  const pixels = (name) => [...short(name)].reduce((sum, c) => sum + (c > '\u2e80' ? 13 : 7), 0);
  const room = Math.max(0, ...names.map(pixels)) + 34;
  const categories = (formatter, extra) => {
    const made = axis({ type: 'category', data: names, splitArea: { show: false }, splitLine: { show: true, lineStyle: { color: colour('line') } }, ...extra });
    Object.assign(made.axisLabel, { interval: 0, hideOverlap: false, formatter, color: colour('ink') });
    return made;
  };
  // Twenty names have no room above twenty columns: a column has the number of its row.
  const xAxis = categories((_, at) => String(at + 1), { position: 'top' });
  xAxis.axisLabel.fontSize = 10;
  return base({
    grid: { left: room, right: 8, top: 28, bottom: 8 },
    tooltip, legend: { show: false },
    visualMap: { show: false, min: 0, max: 1, dimension: 2, inRange: { color: [colour('card'), colour('accent')] } },
    xAxis, yAxis: categories((name, at) => `${short(name)}  ${at + 1}`, { inverse: true }),
    series: [{ type: 'heatmap', label, data: cells }],
  });
}
