/**
 * The curve of a training's loss: each step as a thin line, and a smoothed one over it. `curveOf` says what is drawn,
 * `drawCurve` draws it as SVG; sizes are CSS pixels.
 */

/** Points along the paths of an SVG, and the marks of both axes. */
interface Curve {
  readonly raw: string;
  readonly smooth: string;
  /** Where the smoothed line ends; undefined before the first step. */
  readonly end: readonly [x: number, y: number] | undefined;
  readonly across: readonly Mark[];
  readonly up: readonly Mark[];
}

interface Mark {
  readonly at: number;
  readonly text: string;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Share of what was before in the smoothed line. */
const inertia = 0.9;

/** Means in which a step counts the less the longer it is past; the first is the first loss itself. */
export function smoothed(losses: readonly number[]): number[] {
  let [sum, weight] = [0, 0];
  return losses.map((loss) => {
    sum = inertia * sum + loss;
    weight = inertia * weight + 1;
    return sum / weight;
  });
}

/** Round numbers in [low, high], about `count` of them. */
export function roundMarks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999)!;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(10)));
}

/** @param steps that the training will have: the right end of the axis */
export function curveOf(losses: readonly number[], steps: number, { left, right, top, bottom }: Box): Curve {
  const [low, high] = losses.length > 0 ? [Math.min(...losses), Math.max(...losses)] : [0, 1];
  const margin = Math.max(0.05 * (high - low), 1e-3 * Math.max(1, Math.abs(high)));
  const [floor, ceiling] = [low - margin, high + margin];
  const x = (step: number) => left + ((right - left) * (step - 1)) / Math.max(1, steps - 1);
  const y = (loss: number) => bottom - ((bottom - top) * (loss - floor)) / (ceiling - floor);
  const path = (values: readonly number[]) =>
    values
      .map((value, index) => `${index === 0 ? 'M' : 'L'}${x(index + 1).toFixed(1)} ${y(value).toFixed(1)}`)
      .join('');
  const line = smoothed(losses);
  const marks = roundMarks(floor, ceiling, Math.max(2, (bottom - top) / 70));
  const digits = Math.max(0, ...marks.map((value) => (String(value).split('.')[1] ?? '').length));
  return {
    raw: path(losses),
    smooth: path(line),
    end: line.length > 0 ? [x(line.length), y(line.at(-1)!)] : undefined,
    across: roundMarks(1, Math.max(2, steps), Math.max(2, (right - left) / 75))
      .filter((step) => step >= 1 && Number.isInteger(step))
      .map((step) => ({ at: x(step), text: String(step) })),
    up: losses.length > 0 ? marks.map((value) => ({ at: y(value), text: value.toFixed(digits) })) : [],
  };
}

function shape(name: string, attributes: Record<string, string | number>, words = ''): SVGElement {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = words;
  return made;
}

/** Draws anew, over all of the element. */
export function drawCurve(svg: SVGSVGElement, losses: readonly number[], steps: number): void {
  const { clientWidth: width, clientHeight: height } = svg;
  if (width === 0 || height === 0) return;
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  const box = { left: 52, right: width - 18, top: 34, bottom: height - 40 };
  const { raw, smooth, end, across, up } = curveOf(losses, steps, box);
  svg.replaceChildren(
    ...up.flatMap(({ at, text }) => [
      shape('line', { class: 'grid', x1: box.left, x2: box.right, y1: at, y2: at }),
      shape('text', { x: box.left - 8, y: at + 4, 'text-anchor': 'end' }, text),
    ]),
    ...across.map(({ at, text }) => shape('text', { x: at, y: box.bottom + 18, 'text-anchor': 'middle' }, text)),
    shape('line', { class: 'axis', x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }),
    shape('text', { class: 'what', x: box.left, y: 20 }, 'Loss: lower is better'),
    shape('text', { class: 'what', x: box.right, y: height - 7, 'text-anchor': 'end' }, 'Step'),
    shape('path', { class: 'raw', d: raw }),
    shape('path', { class: 'smooth', d: smooth }),
    ...(end ? [shape('circle', { class: 'end', cx: end[0], cy: end[1], r: 4 })] : []),
  );
}
