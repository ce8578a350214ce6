// The page of a lens: tables and plots built from the data, and built again when the language or
// the colours change. Text from a run is set as text nodes only.

const data = JSON.parse(document.getElementById('data').textContent);
const COLOURS = ['#4a7fb5', '#e0a528', '#4c9f8b', '#8a63a8', '#b8102a', '#7a8699'];
const WORDS = {
  subtitle: ['The population as the document describes it', '按文档口径看总体'],
  span: ['{0} events, {1} to {2} (days: {3})', '{0} 个事件，{1} 至 {2}（{3} 天）'],
  nothing: ['no events; rejected records: {0}', '没有事件；被拒收的记录：{0}'],
  partial: ['This run was interrupted: all below is about what it came to.', '本次运行被中断，下文只涉及已处理的部分。'],
  types: ['Types of groups: {0}', '群类型来源：{0}'],
  legend: ['In grey: the document\'s figure. [c]: hidden, as it is of fewer than {0} accounts or would give such a figure away. –: nothing to measure.', '灰色为文档数值。[c]：不足 {0} 个账户，或会泄露此类数值，已隐藏。–：无可度量。'],
  hours: ['When packets are sent', '红包发放时段'],
  hoursHow: ['Share of a type\'s packets in each half-hour of the day. Shaded: the hours that the document names for the type chosen.', '各类群的红包在一天各半小时的占比；阴影为文档所述该类活跃时段。'],
  means: ['Mean packet', '单包均值'],
  meansHow: ['Yuan, beside the document\'s figure.', '单位元，与文档数值对照。'],
  money: ['How long money stays', '资金滞留'],
  moneyHow: ['Minutes, median of what moves on within a day, beside the document\'s figure.', '分钟，一天内转出部分的中位数，与文档数值对照。'],
  turnover: ['How often money turns over', '资金周转率'],
  turnoverHow: ['Outflow a day over mean balance, beside the document\'s figure.', '日流出额除以平均余额，与文档数值对照。'],
  zones: ['Mean packet by region of the group', '各地区单包均值'],
  here: ['this run', '本次运行'],
  document: ['document', '文档'],
  share: ['% of packets', '占红包 %'],
  made: ['Made from the run with digest {0}. Nothing here is about a single person; age and region are shown and never score.', '来自决策摘要为 {0} 的运行。本页不含任何个人信息；年龄与地域仅供展示，不参与评分。'],
};

const state = { lang: 'en', type: 0 };
let charts = [];

const say = (key, ...parts) =>
  WORDS[key][state.lang === 'zh' ? 1 : 0].replace(/\{(\d)\}/g, (_, at) => parts[at]);
const word = (words) => words[state.lang];
const clock = (half) => `${pad(Math.floor(half / 2))}:${half % 2 ? '30' : '00'}`;

function number(value, unit) {
  const places = { count: 0, minutes: 0, percent: 1, yuan: 2, number: 2 }[unit];
  if (unit === 'clock') return clock(value * 2);
  return value.toLocaleString('en-US', { minimumFractionDigits: places, maximumFractionDigits: places });
}

function figure(cell, unit) {
  if (cell.small) return '[c]';
  if (cell.value === null) return cell.document || cell.unknown ? '–' : '';
  return number(cell.value, unit);
}

function section(one) {
  const cell = (column, cell) => el('td', null, figure(cell, column.unit),
    cell.document ? el('span', { class: 'soft' }, cell.document === '*' ? ' *' : ` (${cell.document})`) : null);
  return [
    el('h2', null, word(one.title)),
    el('section', { class: 'card' },
      el('div', { class: 'scroll' }, el('table', null,
        el('thead', null, el('tr', null, el('th', { scope: 'col', class: 'word' }, ''),
          one.columns.map((column) => el('th', { scope: 'col' }, word(column.name))))),
        el('tbody', null, one.rows.map((row) => el('tr', null,
          el('td', { class: 'word' }, foreign(word(row.name))),
          row.cells.map((value, at) => cell(one.columns[at], value)))))),
      ),
      one.notes.map((note) => el('p', { class: 'how' }, foreign(word(note))))),
  ];
}

/** A card with a plot; drawn once the page is laid out. */
function plot(title, how, option, above) {
  const canvas = el('div', { class: 'plot', role: 'img', 'aria-label': title });
  charts.push({ canvas, option });
  return el('section', { class: 'card' }, el('h3', null, title), el('p', { class: 'how' }, how), above, canvas);
}

function hoursPlot() {
  const chosen = data.hours[state.type];
  const area = chosen && chosen.active
    ? { silent: true, itemStyle: { color: colour('line'), opacity: 0.55 }, data: [[{ xAxis: clock(chosen.active[0]) }, { xAxis: clock(chosen.active[1]) }]] }
    : undefined;
  return base({
    // Room for the name of the axis below the legend.
    grid: { left: 12, right: 30, top: 64, bottom: 4, containLabel: true },
    xAxis: axis({ type: 'category', boundaryGap: false, data: Array.from({ length: 49 }, (_, half) => clock(half)), splitLine: { show: false } }),
    yAxis: axis({ type: 'value', name: say('share') }),
    series: data.hours.map((line, at) => ({
      name: word(line.name), type: 'line', symbol: 'none', step: 'end',
      lineStyle: { width: at === state.type ? 3 : 1.2, color: COLOURS[at % COLOURS.length] },
      itemStyle: { color: COLOURS[at % COLOURS.length] },
      // The last half-hour ends at midnight: without that point its step is not drawn.
      data: [...line.percent, line.percent[47]], markArea: at === state.type ? area : undefined,
    })),
  });
}

/** This run beside the document: the cells of a column that have both. */
function beside(id, columnId) {
  const one = data.sections.find((section) => section.id === id);
  const at = one.columns.findIndex((column) => column.id === columnId);
  return one.rows.map((row) => ({ name: word(row.name), cell: row.cells[at], unit: one.columns[at].unit }))
    .filter(({ cell }) => cell.value !== null || cell.document);
}

function besidePlot(rows) {
  const label = (unit) => ({ show: true, position: 'top', fontSize: 11, color: colour('ink'), formatter: ({ value }) => (value === null || Number.isNaN(value) ? '' : number(value, unit)) });
  const unit = rows.length ? rows[0].unit : 'number';
  const bars = (name, fill, values) => ({ name, type: 'bar', barMaxWidth: 38, barGap: '18%', itemStyle: { color: fill }, label: label(unit), labelLayout: { hideOverlap: true }, data: values });
  const told = (text) => (text && Number.isFinite(Number(text)) ? Number(text) : null);
  return base({
    xAxis: axis({
      type: 'category', data: rows.map((row) => row.name), splitLine: { show: false },
      // On a narrow screen names of many bars would run into each other.
      axisLabel: { color: colour('soft'), interval: 0, width: 78, overflow: 'break', lineHeight: 14, rotate: innerWidth < 560 && rows.length > 4 ? 45 : 0 },
    }),
    yAxis: axis({ type: 'value' }),
    series: [
      bars(say('here'), colour('accent'), rows.map((row) => row.cell.value)),
      bars(say('document'), colour('allow'), rows.map((row) => told(row.cell.document))),
    ],
  });
}

function header() {
  const choose = (lang) => () => { state.lang = lang; render(); };
  return [
    el('div', { class: 'name' }, el('h1', null, foreign(data.run)),
      el('p', { class: 'soft' }, `${say('subtitle')} · ${data.events ? say('span', data.events.toLocaleString('en-US'), data.from, data.to, data.days) : say('nothing', data.rejected.toLocaleString('en-US'))}`)),
    el('nav', { class: 'choice', 'aria-label': 'language' },
      pressable('English', state.lang === 'en', choose('en')), pressable('中文', state.lang === 'zh', choose('zh'))),
  ];
}

/** Builds the page anew, keeping the reader's place. */
function render() {
  for (const { chart } of charts) if (chart) chart.dispose();
  charts = [];
  document.documentElement.lang = state.lang;
  const place = window.scrollY;
  const types = el('div', { class: 'choice' }, data.hours.map((line, at) =>
    pressable(word(line.name), at === state.type, () => { state.type = at; render(); })));
  const parts = [
    data.partial ? el('div', { class: 'card note' }, say('partial')) : null,
    el('div', { class: 'card note' }, say('legend', data.small_cell), ' ', say('types', word(data.group_types))),
    el('h2', null, say('hours')),
    plot(say('hours'), say('hoursHow'), hoursPlot, types),
    el('div', { class: 'grid halves', style: 'margin-top: 14px' },
      plot(say('means'), say('meansHow'), () => besidePlot(beside('groups', 'mean'))),
      plot(say('zones'), say('meansHow'), () => besidePlot(beside('regions', 'mean'))),
      plot(say('money'), say('moneyHow'), () => besidePlot(beside('money', 'stay'))),
      plot(say('turnover'), say('turnoverHow'), () => besidePlot(beside('money', 'turnover')))),
    data.sections.map(section),
    el('footer', null, say('made', data.decisions_digest)),
  ];
  document.getElementById('header').replaceChildren(...header());
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
