// The page: built from the data, and built again when language, labels or colours change.
// Text from events is set as text nodes only.

const data = JSON.parse(document.getElementById('data').textContent);
const views = ['events', 'accounts', 'groups'].map((key) => data.judgement.truth[key]).filter(Boolean);
const stoppedOf = (mix, what) => mix.hold[what] + mix.block[what];
const totalOf = (mix, what) => VERDICTS.reduce((sum, verdict) => sum + mix[verdict][what], 0);
const alertsOf = (mix) => totalOf(mix, 'count') - mix.allow.count;
let charts = [];

/** A card with a plot; drawn once the page is laid out. */
function plot(title, how, option, height) {
  const canvas = el('div', { class: 'plot', role: 'img', 'aria-label': title });
  if (height) canvas.style.height = `${height}px`;
  charts.push({ canvas, option });
  return el('section', { class: 'card' }, el('h3', null, title), el('p', { class: 'how' }, how), canvas);
}

function headline(label, value, sub, unit) {
  return el('div', { class: 'card' },
    el('div', { class: 'soft' }, label),
    el('div', { class: 'figure' }, value, unit ? el('span', { class: 'unit' }, unit) : null),
    el('div', { class: 'soft' }, sub));
}

const note = (text, bad) => el('div', { class: bad ? 'card note bad' : 'card note' }, text);

/**
 * A table. Each column: {key, head, word, value(row), cell(row)}; `value` is what is sorted by and,
 * unless there is a `cell`, what is shown.
 */
function table(columns, rows, options = {}) {
  let shown = rows;
  const { column: sorted, down } = state.sort;
  const by = options.sortable && columns.find((column) => column.key === sorted);
  if (by) {
    const order = (a, b) => (typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b)));
    shown = [...rows].sort((a, b) => (down ? -1 : 1) * order(by.value(a), by.value(b)));
  }
  const head = (column) => {
    const sort = () => {
      state.sort = { column: column.key, down: sorted === column.key ? !down : !column.word };
      render();
    };
    const label = options.sortable ? el('button', { type: 'button', onclick: sort }, column.head) : column.head;
    const direction = by === column && (down ? 'descending' : 'ascending');
    return el('th', { scope: 'col', class: column.word ? 'word' : false, 'aria-sort': direction || false }, label);
  };
  const cell = (column, row) =>
    el('td', { class: column.word ? 'word' : false }, column.cell ? column.cell(row) : whole(column.value(row)));
  return el('div', { class: 'scroll' }, el('table', null,
    el('thead', null, el('tr', null, columns.map(head))),
    el('tbody', null, shown.map((row) => el('tr', { class: (options.rowClass && options.rowClass(row)) || false },
      columns.map((column) => cell(column, row)))))));
}

function bar(share, calm) {
  const fill = el('i');
  fill.style.width = `${100 * share}%`;
  return el('span', { class: calm ? 'bar calm' : 'bar' }, fill);
}

const barred = (words, share, calm) => el('span', { class: 'barred' }, words, bar(share, calm));

const withBar = (share, calm) => (share === null ? '–' : barred(percent(share, 1), share, calm));

function truthPill(fraud) {
  if (fraud === null) return '–';
  const mark = el('i');
  mark.style.background = colour(fraud ? 'fraud' : 'honest');
  return el('span', { class: 'pill' }, mark, say(fraud ? 'fraud' : 'honest'));
}

function offsetName(ms) {
  const minutes = Math.abs(ms) / 60000;
  return `${ms < 0 ? '−' : '+'}${Math.floor(minutes / 60)}${minutes % 60 ? `:${pad(minutes % 60)}` : ''}`;
}

function header() {
  const { span, timeline } = data.judgement;
  const offset = timeline.utc_offset_ms;
  const period = span
    ? say('period', localTime(span[0], offset, true), localTime(span[1], offset, true), offsetName(offset))
    : say('noPeriod');
  const choose = (lang) => () => {
    state.lang = lang;
    render();
  };
  return [
    el('div', { class: 'name' }, el('h1', null, foreign(data.title)), el('p', { class: 'soft' }, `${say('subtitle')} · ${period}`)),
    el('nav', { class: 'choice', 'aria-label': 'language' },
      pressable('English', state.lang === 'en', choose('en')), pressable('中文', state.lang === 'zh', choose('zh'))),
  ];
}

function summary() {
  const { decided, workload, transactions } = data.judgement;
  const money = totalOf(decided, 'fen');
  const stopped = stoppedOf(decided, 'fen');
  const aDay = workload.alerts_per_day === null ? '–' : whole(Math.round(workload.alerts_per_day * 10) / 10);
  return el('div', { class: 'grid cards' },
    headline(say('transactions'), whole(transactions), say('worth', yuanShort(money))),
    headline(say('alerts'), whole(workload.alerts),
      say('alertsSub', percent(workload.alerts, transactions), aDay, whole(workload.alerts_per_day_max))),
    headline(say('stoppedMoney'), `¥${yuanShort(stopped)}`, say('stoppedMoneySub', percent(stopped, money))),
    headline(say('movedLater'), `¥${yuanShort(decided.moved_after_stop.fen)}`, say('movedLaterSub')),
    headline(say('accountsAlerted'), whole(workload.accounts_alerted),
      say('accountsAlertedSub', whole(workload.accounts_stopped))));
}

function truthCards(view) {
  const { confusion, accounts, fraud, detection } = view;
  const frauds = totalOf(fraud, 'count');
  const fraudMoney = totalOf(fraud, 'fen');
  const alerts = confusion.true_positives + confusion.false_positives;
  const caught = whole(confusion.true_positives);
  return el('div', { class: 'grid cards' },
    headline(say('precision'), figure(view.precision), say('precisionSub', caught, whole(alerts))),
    headline(say('recall'), figure(view.recall), say('recallSub', caught, whole(frauds))),
    headline(say('f1'), figure(view.f1), say('f1Sub')),
    headline(say('auc'), figure(view.auc), say('aucSub')),
    headline(say('ap'), figure(view.average_precision), say('apSub', figure(view.base_rate))),
    headline(say('fraudStopped'), `¥${yuanShort(stoppedOf(fraud, 'fen'))}`,
      say('fraudStoppedSub', percent(stoppedOf(fraud, 'fen'), fraudMoney), yuanShort(fraudMoney), yuanShort(fraud.moved_after_stop.fen))),
    headline(say('fraudAccounts'), whole(accounts.fraud_alerted),
      say('fraudAccountsSub', whole(accounts.fraud), whole(accounts.fraud_stopped))),
    headline(say('honestTouched'), whole(accounts.honest_alerted), say('honestTouchedSub', whole(accounts.honest_stopped))),
    detection
      ? headline(say('detection'), lasting(detection.median_ms),
          say('detectionSub', lasting(detection.p90_ms), whole(detection.detected), whole(detection.subjects))
            + (detection.early_only ? say('detectionEarly', whole(detection.early_only)) : '')
            + (detection.in_warmup ? say('detectionWarmup', whole(detection.in_warmup)) : ''))
      : null);
}

function truth(view) {
  const parts = [el('h2', null, say('truth'))];
  if (!view) return [...parts, note(say(data.judgement.truth.given ? 'labelsEmpty' : 'noLabels'))];
  const { labels } = view;
  const choose = (at) => () => {
    state.view = at;
    render();
  };
  parts.push(el('div', { class: 'choice' }, el('span', { class: 'soft' }, say('judgedBy')),
    views.map((one, at) => pressable(say(one.subject), at === state.view, choose(at)))));
  const use = say('labelUse', whole(labels.fraud), whole(labels.honest), whole(view.unlabelled));
  parts.push(el('p', { class: 'how' }, `${say(`${view.subject}How`)} ${use}`));
  parts.push(truthCards(view));
  if (labels.unmatched) {
    const examples = labels.unmatched_examples.map((id, at) => [at ? ', ' : '', foreign(id)]);
    const more = labels.unmatched > labels.unmatched_examples.length ? ' …' : '';
    const [before, after] = say(data.run.partial ? 'unmatchedSoFar' : 'unmatched', whole(labels.unmatched), '\n').split('\n');
    parts.push(note([before, examples, more, after]));
  }
  return parts;
}

function decided() {
  const { decided: mix, transactions, timeline, truth: truths } = data.judgement;
  const part = (verdict) => {
    const slice = el('span', { title: say(verdict) });
    slice.style.cssText = `flex:${mix[verdict].count};background:${colour(verdict)}`;
    return mix[verdict].count ? slice : null;
  };
  const key = (verdict) => {
    const mark = el('i');
    mark.style.background = colour(verdict);
    const { count, fen } = mix[verdict];
    return el('span', null, mark, `${say(verdict)} `, el('b', null, whole(count)), ` (${percent(count, transactions)}, ¥${yuanShort(fen)})`);
  };
  const width = every(timeline.width_ms);
  const judge = ['events', 'accounts', 'groups'].find((subject) => truths[subject]);
  const moneyHow = judge ? say('moneyTimeFraudHow', width, say(truths[judge].subject)) : say('moneyTimeHow', width);
  return [
    el('h2', null, say('decided')),
    el('section', { class: 'card' },
      el('div', { class: 'mix', role: 'img', 'aria-label': say('decided') }, VERDICTS.map(part)),
      el('div', { class: 'key' }, VERDICTS.map(key))),
    el('div', { class: 'grid halves', style: 'margin-top:14px' },
      plot(say('overTime'), say('overTimeHow', width), () => mixOverTime(data)),
      plot(say('moneyTime'), moneyHow, () => moneyOverTime(data))),
  ];
}

function ranking(view) {
  const parts = [
    el('h2', null, say('ranking')),
    plot(say('scores'), say(view ? 'scoresTruthHow' : 'scoresHow'), () => scores(data, view)),
  ];
  if (!view) return parts;
  const { frauds, honests } = rates(view);
  if (!frauds || !honests) return [...parts, note(say('oneClass'))];
  parts.push(el('div', { class: 'grid halves', style: 'margin-top:14px' },
    plot(say('pr'), say('prHow'), () => precisionRecall(data, view), 360),
    plot(say('roc'), say('rocHow'), () => roc(data, view), 360)));
  return parts;
}

function ruleColumns(view) {
  const missing = new Map(data.run.not_evaluable.map(({ name, count }) => [name, count]));
  const number = (key, head, value) => ({ key, head, value });
  const columns = [
    {
      key: 'rule', head: say('rule'), word: true, value: (row) => ruleName(row),
      cell: (row) => [foreign(ruleName(row)), el('br'), el('code', { class: 'soft' }, row.id)],
    },
    number('score', say('score'), (row) => row.score),
    number('hits', say('hits'), (row) => row.hits.count),
    { key: 'money', head: say('hitMoney'), value: (row) => row.hits.fen, cell: (row) => yuan(row.hits.fen) },
  ];
  if (view) {
    const share = (row) => row.truth.precision;
    columns.push(
      number('fraud', say('fraudHits'), (row) => row.truth.fraud_hits),
      { key: 'precision', head: say('precision'), value: (row) => share(row) ?? -1, cell: (row) => withBar(share(row), true) },
      number('unique', say('unique'), (row) => row.truth.unique),
      number('marginal', say('marginalFraud'), (row) => row.truth.marginal),
      number('cost', say('marginalHonest'), (row) => row.truth.marginal_honest));
  } else {
    columns.push(
      number('alerts', say('alerts'), (row) => row.alerts),
      number('unique', say('unique'), (row) => row.unique),
      number('marginal', say('marginal'), (row) => row.marginal));
  }
  if (missing.size) columns.push(number('missing', say('notEvaluable'), (row) => missing.get(row.id) || 0));
  return columns;
}

function rules(view) {
  const { rules: found, timeline } = data.judgement;
  const parts = [el('h2', null, say('rules'))];
  const shadow = shadowHits(found);
  // Only live rules have hits of which a decision is made; the others would look as if they had none.
  const rows = found.map((rule, at) => ({ ...rule, truth: view && view.rules[at] }))
    .filter((rule) => rule.status === 'live')
    .sort((a, b) => b.hits.count - a.hits.count);
  if (!rows.length) return [...parts, note(say('noRules')), shadow];
  const silent = (row) => (row.hits.count ? '' : 'silent');
  parts.push(el('section', { class: 'card' }, el('p', { class: 'how' }, say(view ? 'rulesTruthHow' : 'rulesHow')),
    table(ruleColumns(view), rows, { sortable: true, rowClass: silent })));
  if (shadow) parts.push(shadow);
  const active = rulesByHits(data).length;
  if (!active) return [...parts, note(say('noHits'))];
  const height = 60 + 30 * Math.min(active, OVERLAP_RULES_MAX);
  parts.push(el('div', { class: 'grid halves', style: 'margin-top:14px' },
    plot(say('hitsTime'), say('hitsTimeHow', every(timeline.width_ms)), () => hitsOverTime(data), Math.max(height, 380)),
    plot(say('overlap'), say('overlapHow'), () => overlap(data), Math.max(height, 380))));
  return parts;
}

/** The rules in shadow with their hits, those that hit nothing last; null where there is none. */
function shadowHits(rules) {
  const { shadow_hits: hits } = data.run;
  const silent = rules.filter((rule) => rule.status === 'shadow' && !hits.some(({ name }) => name === rule.id));
  const rows = [...hits, ...silent.map((rule) => ({ name: rule.id, count: 0 }))];
  return rows.length ? el('section', { class: 'card' }, el('h3', null, say('shadow')), named(rows)) : null;
}

const named = (rows) =>
  el('div', { class: 'key' }, rows.map(({ name, count }) => el('span', null, foreign(name), ' ', el('b', null, whole(count)))));

function slices(title, rows) {
  const columns = [
    { head: title, word: true, cell: (row) => (row.name ? foreign(row.name) : say('nameless')) },
    { head: say('subjects'), cell: (row) => `${whole(row.caught.alerted)} / ${whole(row.caught.subjects)}` },
    { head: say('alertedTransactions'), cell: (row) => `${whole(alertsOf(row.decided))} / ${whole(totalOf(row.decided, 'count'))}` },
    { head: say('recall'), cell: (row) => withBar(alertsOf(row.decided) / totalOf(row.decided, 'count'), true) },
    ...(rows.some((row) => 'precision' in row)
      ? [{ head: say('precision'), cell: (row) => withBar(row.precision ?? null, true) }] : []),
    { head: say('stoppedOf'), cell: (row) => yuan(stoppedOf(row.decided, 'fen')) },
    { head: say('movedLater'), cell: (row) => yuan(row.decided.moved_after_stop.fen) },
    { head: say('allMoney'), cell: (row) => yuan(totalOf(row.decided, 'fen')) },
  ];
  return el('section', { class: 'card' }, table(columns, rows));
}

/** Texts on which rules about texts hit; what the phrases found is marked. */
function texts() {
  const { texts: rows } = data.run;
  if (!rows.length) return [];
  const piece = ([text, marked]) => (marked ? el('mark', null, foreign(text)) : foreign(text));
  const columns = [
    { head: say('rule'), word: true, cell: (row) => el('code', null, row.rule) },
    { head: say('textColumn'), word: true, cell: (row) => row.pieces.map(piece) },
    { head: say('phrases'), word: true,
      cell: (row) => row.phrases.map(([phrase, category], at) => [at ? ', ' : '', foreign(phrase), ' ', el('span', { class: 'soft' }, foreign(category))]) },
    { head: say('reasonColumn'), word: true, cell: (row) => foreign(row.reason) },
    { head: say('decision'), word: true, cell: (row) => `${say(row.decision)} ${row.score}` },
    { head: say('transactionId'), word: true, cell: (row) => foreign(row.event_id) },
  ];
  return [el('h2', null, say('texts')), el('section', { class: 'card' }, el('p', { class: 'how' }, say('textsHow')), table(columns, rows))];
}

function typologies(view) {
  if (!view || !view.typologies.length) return [];
  const parts = [
    el('h2', null, say('typologies')), el('p', { class: 'how' }, say('typologiesHow')),
    slices(say('typology'), view.typologies),
  ];
  if (view.roles.some((role) => role.name)) parts.push(slices(say('role'), view.roles));
  return parts;
}

function accounts() {
  const { top_accounts: rows, timeline } = data.judgement;
  const parts = [el('h2', null, say('accounts'))];
  if (!rows.length) return [...parts, note(say('noAlerts'))];
  const columns = [
    { head: say('accountId'), word: true, cell: (row) => foreign(row.account_id) },
    { head: say('scoreMax'), cell: (row) => barred(String(row.score_max), row.score_max / 1000) },
    { head: say('alerts'), value: (row) => row.alerts },
    { head: say('stops'), value: (row) => row.stops },
    { head: say('alertMoney'), cell: (row) => yuan(row.alert_fen) },
    { head: say('stopMoney'), cell: (row) => yuan(row.stopped_fen) },
    { head: say('firstAlert'), cell: (row) => localTime(row.first_alert, timeline.utc_offset_ms, true) },
  ];
  if (views.length) columns.splice(1, 0, { head: say('truthColumn'), cell: (row) => truthPill(row.fraud) });
  parts.push(el('section', { class: 'card' }, el('p', { class: 'how' }, say('accountsHow')), table(columns, rows)));
  if (data.run.entity_verdicts.length) {
    parts.push(el('section', { class: 'card' }, el('h3', null, say('entities')), named(data.run.entity_verdicts)));
  }
  return parts;
}

/** How many records were accounted for, and how many were not. */
function reached({ counts }) {
  const done = counts.decided + counts.applied + counts.rejected + counts.duplicates;
  return [done, counts.in - done];
}

function interrupted() {
  const [done, rest] = reached(data.run);
  const read = data.run.counts.in;
  return note(say('partial', whole(done), whole(read), percent(done, read), whole(rest)), true);
}

function records() {
  const { counts, rejects, breaches, partial } = data.run;
  const [, rest] = reached(data.run);
  const part = (key, count, sign) => [sign, `${say(key)} `, el('b', null, whole(count))];
  const sum = el('p', { class: 'sum' }, part('in', counts.in, ''), part('decidedCount', counts.decided, ' = '),
    part('applied', counts.applied, ' + '), part('rejected', counts.rejected, ' + '), part('duplicates', counts.duplicates, ' + '),
    partial ? part('unreached', rest, ' + ') : null);
  const columns = [
    { head: say('rejectCode'), word: true, cell: (row) => el('code', null, row.code) },
    { head: say('count'), value: (row) => row.count },
    { head: say('example'), word: true, cell: (row) => foreign(row.example) },
  ];
  const laws = [
    { head: say('finding'), word: true, cell: (row) => el('code', null, row.finding) },
    { head: say('kind'), word: true, cell: (row) => row.kind },
    { head: say('events'), value: (row) => row.count },
    { head: say('firstOnes'), word: true, cell: (row) => foreign(row.first.join('  ')) },
  ];
  return [
    el('h2', null, say('records')),
    el('section', { class: 'card' }, el('p', { class: 'how' }, say(partial ? 'recordsHowPartial' : 'recordsHow')), sum),
    rest === 0 || partial ? null : note(say('unbalanced'), true),
    rejects.length ? el('section', { class: 'card' }, table(columns, rejects)) : null,
    breaches.length ? el('section', { class: 'card' }, el('h3', null, say('breaches')),
      el('p', { class: 'how' }, say('breachesHow')), table(laws, breaches)) : null,
  ];
}

function made() {
  const { run } = data;
  const row = (key, ...value) => [el('dt', null, say(key)), el('dd', null, value)];
  const input = ({ name, hash }) => el('div', null, foreign(name), ' ', el('code', { class: 'soft' }, hash));
  const moment = (ms) => localTime(ms, data.judgement.timeline.utc_offset_ms, true);
  const warming = ({ feature, until }) => el('div', { class: 'soft' }, foreign(feature), ' ', say('warmingUntil', moment(until)));
  const change = (one) => el('div', null, moment(one.effective_time), ' ', foreign(one.rules), ' ',
    el('code', { class: 'soft' }, one.rules_hash), one.warming.map(warming));
  return [
    el('h2', null, say('made')),
    el('section', { class: 'card' }, el('p', { class: 'how' }, say(run.partial ? 'reproducePartial' : 'reproduce')), el('dl', null,
      row('inputs', run.inputs.map(input)),
      row('rulesHash', el('code', null, run.rules_hash)),
      run.changes.length ? row('rulesChanged', run.changes.map(change)) : null,
      run.hubs.length ? row('hubs', run.hubs.map((hub) => el('div', null, foreign(hub.link), ' ',
        say('hub', whole(hub.times), whole(hub.limit), whole(hub.accounts_max))))) : null,
      run.model_hash ? row('modelHash', el('code', null, run.model_hash)) : null,
      row('digest', el('code', null, run.decisions_digest)),
      row('version', run.version),
      run.features.length ? row('features', el('code', null, run.features.join('  '))) : null)),
    el('footer', null, say('footer', run.version)),
  ];
}

/** Builds the page anew, keeping the reader's place. */
function render() {
  for (const { chart } of charts) if (chart) chart.dispose();
  charts = [];
  document.documentElement.lang = state.lang;
  const place = window.scrollY;
  const view = views[state.view] || null;
  const any = data.judgement.transactions > 0;
  document.getElementById('header').replaceChildren(...header());
  const parts = [
    data.run.partial ? interrupted() : null,
    summary(),
    data.judgement.warmup ? note(say('warmup', whole(data.judgement.warmup))) : null,
    any ? [truth(view), decided(), ranking(view), modelSection(), rules(view), texts(), typologies(view), accounts()] : note(say('noTransactions')),
    records(), made(),
  ];
  document.getElementById('main').replaceChildren(...parts.flat(Infinity).filter(Boolean));
  for (const one of charts) {
    one.chart = echarts.init(one.canvas, null, { renderer: 'svg' });
    one.chart.setOption(one.option());
  }
  window.scrollTo(0, place);
}

const wanted = location.hash.slice(1) || navigator.language || 'en';
state.lang = wanted.startsWith('zh') ? 'zh' : 'en';
window.addEventListener('resize', () => charts.forEach(({ chart }) => chart.resize()));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', render);
render();
