'use strict';
// What the pages share: elements, text of a run, and the looks of plots.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const pad = (value) => String(value).padStart(2, '0');

/** An element; attributes whose value is false are left out, children may be nested or absent. */
function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === 'onclick') element.onclick = value;
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * An id or other text of an event: isolated, so that its reading direction stays its own, and
 * without the characters that are not seen or turn what is.
 */
const foreign = (text) => // The same list as in unseen.rs; a test compares them.
  el('bdi', null, text.replace(/[\u{0}-\u{1f}\u{7f}-\u{9f}\u{ad}\u{34f}\u{61c}\u{115f}-\u{1160}\u{17b4}-\u{17b5}\u{180b}-\u{180f}\u{200b}-\u{200f}\u{2028}-\u{202e}\u{2060}-\u{206f}\u{3164}\u{feff}\u{ffa0}\u{fff9}-\u{fffb}\u{e0000}-\u{e0fff}]/gu, '\ufffd'));

function pressable(label, pressed, onclick) {
  return el('button', { type: 'button', 'aria-pressed': String(pressed), onclick }, label);
}

/** What all plots share. */
function base(extra) {
  return {
    animation: false,
    // Texts are measured with this family, so it has to be the one they are shown in.
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: colour('ink') },
    grid: { left: 12, right: 30, top: 40, bottom: 4, containLabel: true },
    legend: { top: 0, left: 0, itemWidth: 12, itemHeight: 10, textStyle: { color: colour('ink') } },
    tooltip: {
      trigger: 'axis', confine: true, backgroundColor: colour('card'), borderColor: colour('line'),
      textStyle: { color: colour('ink'), fontSize: 13 },
    },
    ...extra,
  };
}

function axis(extra) {
  return {
    nameTextStyle: { color: colour('soft') },
    axisLabel: { color: colour('soft'), hideOverlap: true },
    axisLine: { lineStyle: { color: colour('line') } },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: colour('line') } },
    ...extra,
  };
}
