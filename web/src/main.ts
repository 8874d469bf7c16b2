/**
 * The page: takes files, asks the worker, shows what it answers. From the start to the bench (a scan and a model), from
 * there to a run and its result, and back. What a word or number looks like is in wording.ts, the canvas in viewer.ts.
 */
import { InputError } from '../../src/errors.ts';
import type { Progress } from '../../src/index.ts';
import { labelColor } from '../../src/volume/index.ts';
import { imageEndings } from '../../src/volume/read.ts';
import { Failure, startClient } from './client.ts';
import { baseName, chosenFiles, droppedFiles, type Given, imagesOf, scanName, sortFiles } from './files.ts';
import type { GivenFile, LoadedModel, Scan, Segmented } from './protocol.ts';
import { exampleScan, shippedModel } from './shipped.ts';
import { openViewer, type Position, type Viewer } from './viewer.ts';
import { by, duration, listed, memory, milliliters, progressText } from './wording.ts';

/** @throws Error when the page has no such element, or another kind of it */
function element<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
}

const text = (id: string, words: string) => {
  const found = element(id, HTMLElement);
  found.textContent = words;
  return found;
};
const show = (id: string, visible: boolean) => {
  element(id, HTMLElement).hidden = !visible;
};
const button = (id: string) => element(id, HTMLButtonElement);
const range = (id: string) => element(id, HTMLInputElement);
const select = (id: string) => element(id, HTMLSelectElement);

/** Says it to screen readers; the words on the page say it to the others. */
const announce = (words: string) => text('status', words);

function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// --- what the page holds ---

const ask = startClient();
let viewer: Promise<Viewer> | undefined;
/** The files of the scan, in the order of its channels. */
let scanFiles: readonly GivenFile[] = [];
let scan: Scan | undefined;
let model: LoadedModel | undefined;
let ownModel = false;
let running: AbortController | undefined;
let maskUrl: string | undefined;
/** Counts starts over, so that an answer for what is gone is not shown. */
let visit = 0;

// --- failures ---

function fail(title: string, error: unknown): void {
  if (error instanceof Failure && error.kind === 'cancelled') return;
  const mendable = error instanceof InputError || (error instanceof Failure && error.kind !== 'bug');
  const message = error instanceof Error ? error.message : String(error);
  text('failure-title', title);
  text(
    'failure-text',
    mendable ? message : `This is a fault of the page, not of your files: ${message}. Reload it and try again.`,
  );
  show('failure', true);
  element('failure', HTMLElement).scrollIntoView({ block: 'nearest' });
}

// --- files in ---

async function take(files: readonly GivenFile[]): Promise<void> {
  show('failure', false);
  if (running) {
    fail('A run is going on', new InputError('Cancel it before you give other files.'));
    return;
  }
  let given: Given;
  try {
    given = sortFiles(files);
  } catch (error) {
    fail('These files were not taken', error);
    return;
  }
  if (given.model) {
    const { manifest, weights } = given.model;
    await takeModel({ manifest: manifest.bytes, weights: weights.bytes, name: modelName(manifest) }, true);
  }
  if (given.scan.length > 0) await takeScan(given.scan);
}

const modelName = ({ path }: GivenFile) => path.split('/').at(-2) ?? 'the model';

async function takeScan(files: readonly GivenFile[]): Promise<void> {
  const here = visit;
  scanFiles = files;
  scan = undefined;
  clearResult();
  openBench();
  text('stage-title', scanName(files));
  text('scan-facts', '');
  text('frame-note', 'Reading the scan').hidden = false;
  announce('Reading the scan');
  if (!model && !ownModel) void takeShippedModel();
  try {
    await readScan();
    if (here !== visit) return;
    element('stage-title', HTMLElement).focus({ preventScroll: true });
    announce(`The scan is read: ${element('scan-facts', HTMLElement).textContent}`);
  } catch (error) {
    if (here !== visit) return;
    fail(`${listed(files.slice(0, 3).map(({ path }) => baseName(path)))} could not be read`, error);
    startOver();
  }
}

/** Reads the scan's files as the model's channels want them. @throws Failure */
async function readScan(): Promise<void> {
  const here = visit;
  const [read, view] = await Promise.all([
    ask('scan', { images: imagesOf(scanFiles, model?.channels.length ?? 1) }),
    openedViewer(),
  ]);
  if (here !== visit) return;
  scan = read;
  const counts = await view.showScan(read.picture);
  for (const axis of [0, 1, 2] as const) range(`slice-${axis}`).max = String(counts[axis] - 1);
  const channels = read.channels > 1 ? `, ${read.channels} channels` : '';
  text('scan-facts', `${by(read.size)} voxels of ${by(read.spacing)} mm${channels}`);
  show('frame-note', false);
  showNotices('scan-notices', read.notices);
  await refresh();
}

function openedViewer(): Promise<Viewer> {
  viewer ??= openViewer(element('canvas', HTMLCanvasElement), showPosition);
  return viewer;
}

async function takeShippedModel(): Promise<void> {
  try {
    await takeModel(await shippedModel(), false);
  } catch (error) {
    fail('The shipped model could not be loaded', error);
    text('model-name', 'No model');
  }
}

async function takeModel(files: { manifest: Blob; weights: Blob; name: string }, own: boolean): Promise<void> {
  const channelsBefore = model?.channels.length ?? 1;
  model = undefined;
  ownModel = own;
  clearResult();
  text('model-name', 'Loading the model');
  try {
    model = await ask('model', files);
  } catch (error) {
    fail(`The model ${files.name} could not be loaded`, error);
    text('model-name', 'No model');
  }
  showModel();
  // Another number of channels may make several images of the same files, or one of several.
  if (scan && model && model.channels.length !== channelsBefore && scanFiles.length > 1) {
    try {
      await readScan();
    } catch (error) {
      fail('The scan does not fit the model', error);
    }
  }
  await refresh();
}

// --- the bench ---

function openBench(): void {
  show('start', false);
  show('bench', true);
}

function showModel(): void {
  text('model-name', model?.name ?? 'No model');
  text('model-description', model?.description ?? 'Choose another one.');
  element('model-labels', HTMLElement).replaceChildren(
    ...(model?.labels ?? []).map(({ value, name }) => make('li', {}, chip(value), name)),
  );
  show('shipped-model', ownModel || !model);
  element('other-model', HTMLDetailsElement).open = false;
}

function chip(label: number): HTMLElement {
  const made = make('span', { className: 'chip' });
  made.style.background = `rgb(${labelColor(label).join(' ')})`;
  return made;
}

/** Why the scan and the model do not go together; undefined when they do. */
function misfit(given: Scan, taken: LoadedModel): string | undefined {
  if (given.channels === taken.channels.length) return undefined;
  const names = listed(taken.channels.map(({ name }) => name));
  const takes = taken.channels.length === 1 ? `one channel (${names})` : `${taken.channels.length} channels (${names})`;
  return `The model takes ${takes} and the scan has ${given.channels}; give one file for each channel, all at once.`;
}

/** What neither the files nor the network can tell, said before a run. */
function warning(given: Scan, taken: LoadedModel): string {
  // Air is at -1000 HU: a CT without any of it is rare, and one whose offset was lost is not.
  const [low] = given.range;
  if (taken.channels[0].isCt && low > -200) {
    return `The model was trained on CT in Hounsfield units; the lowest value of this scan is ${Number(low.toFixed(1))}, so it may be none, or its offset may be lost.`;
  }
  return 'A file does not say which body part and kind of scan it shows: only on what the model was trained for, as said above, does its mask mean anything.';
}

/** Brings the panels up to date with scan and model. */
async function refresh(): Promise<void> {
  const here = visit;
  const problem = scan && model && misfit(scan, model);
  button('run').disabled = !scan || !model || problem !== undefined;
  text('model-warning', scan && model ? warning(scan, model) : '').hidden = !(scan && model);
  showChannels();
  text('run-note', problem ?? '').classList.toggle('warning', problem !== undefined);
  if (!scan || !model) return;
  showSteps(model.step);
  if (problem) return;
  try {
    const bytes = await ask('memory', { device: chosenDevice() });
    if (here !== visit || running) return;
    // The 4 GiB that 32-bit WebAssembly can address hold the network; the scan's arrays lie outside.
    const much = bytes > 4e9 ? '; that is more than most browsers give a page' : '';
    text('run-note', `Needs about ${memory(bytes)} of memory${much}.`);
  } catch (error) {
    fail('The memory could not be estimated', error);
  }
}

/** Which file is which channel, to be seen and changed: nothing in the files says it. */
function showChannels(): void {
  const perFile = model !== undefined && imagesOf(scanFiles, model.channels.length).length > 1;
  show('channels', perFile);
  const names = perFile ? (model?.channels ?? []) : [];
  element('channels', HTMLElement).replaceChildren(
    ...names.map(({ name }, index) => {
      const files = scanFiles.map(({ path }, file) =>
        make('option', { value: String(file), selected: file === index }, baseName(path)),
      );
      const choice = make('select', { onchange: () => void swapChannels(index, Number(choice.value)) }, ...files);
      return make('label', { className: 'field' }, name, choice);
    }),
  );
}

async function swapChannels(a: number, b: number): Promise<void> {
  const order = [...scanFiles];
  [order[a], order[b]] = [order[b], order[a]];
  scanFiles = order;
  clearResult();
  try {
    await readScan();
  } catch (error) {
    fail('The scan could not be read again', error);
  }
}

function showSteps(planned: number): void {
  const choices = [...new Set([planned, 0.25, 0.5, 0.75])].sort((a, b) => a - b);
  const before = select('step').value;
  const said = (step: number) =>
    `${Math.round((1 - step) * 100)} %${step === planned ? ', as planned' : step < planned ? ', slower' : ', faster'}`;
  select('step').replaceChildren(
    ...choices.map((step) =>
      make('option', { value: String(step), selected: String(step) === before || step === planned }, said(step)),
    ),
  );
  if (choices.some((step) => String(step) === before)) select('step').value = before;
}

const chosenDevice = () => (select('device').value === 'webgpu' ? 'webgpu' : 'wasm');

async function showDevices(): Promise<void> {
  const reports = await ask('devices', {});
  const names = { wasm: 'the processor', webgpu: 'the graphics card' } as Record<string, string>;
  select('device').replaceChildren(
    ...reports.map(({ device, available, detail }) =>
      make(
        'option',
        { value: device, disabled: !available },
        available ? `${names[device]} (${detail})` : `${names[device]} (not here)`,
      ),
    ),
  );
  const missing = reports.filter(({ available }) => !available).map(({ detail }) => `Graphics card: ${detail}`);
  const alone = crossOriginIsolated
    ? []
    : ['One thread: the server did not isolate this page, so that the other cores stay idle.'];
  text('device-note', [...alone, ...missing].join(' ')).hidden = alone.length + missing.length === 0;
}

// --- a run ---

async function run(): Promise<void> {
  if (!scan || !model || running) return;
  const labels = new Map(model.labels.map(({ value, name }) => [value, name]));
  running = new AbortController();
  show('failure', false);
  clearResult();
  showRunning(true);
  const { onProgress, stop } = progressShown();
  try {
    const segmented = await ask(
      'segment',
      { device: chosenDevice(), mirror: range('mirror').checked, step: Number(select('step').value) },
      { onProgress, signal: running.signal },
    );
    await (await openedViewer()).showMask(segmented.picture, labels);
    showResult(segmented);
  } catch (error) {
    fail('The scan could not be segmented', error);
    if (running.signal.aborted) announce('The run is cancelled');
  } finally {
    stop();
    const { aborted } = running.signal;
    running = undefined;
    showRunning(false);
    if (aborted) button('run').focus();
  }
}

function showRunning(going: boolean): void {
  show('running', going);
  show('run-form', !going);
  element('bench', HTMLElement).setAttribute('aria-busy', String(going));
  for (const id of ['start-over', 'choose-model-folder', 'choose-model-files', 'shipped-model']) {
    button(id).disabled = going;
  }
  for (const choice of element('channels', HTMLElement).querySelectorAll('select')) choice.disabled = going;
  if (!going) return;
  button('cancel').disabled = false;
  button('cancel').textContent = 'Cancel';
  button('cancel').focus();
}

/** Shows progress as it comes, and says it aloud at the start of each stage and every ten seconds at most. */
function progressShown(): { onProgress(progress: Progress): void; stop(): void } {
  const bar = element('progress', HTMLProgressElement);
  let latest: Progress | undefined;
  let networkStart = 0;
  let stage = '';
  let said = 0;
  const update = (words: string, force: boolean) => {
    text('progress-text', words);
    if (!force && performance.now() - said < 10_000) return;
    said = performance.now();
    announce(words);
  };
  bar.removeAttribute('value');
  update('Starting the network', true);
  const words = (progress: Progress) => progressText(progress, (performance.now() - networkStart) / 1000);
  return {
    onProgress(progress) {
      if (progress.stage === 'network' && latest?.stage !== 'network') networkStart = performance.now();
      latest = progress;
      if (progress.total > 0) {
        bar.max = progress.total;
        bar.value = progress.done;
      } else {
        bar.removeAttribute('value');
      }
      update(words(progress), progress.stage !== stage);
      stage = progress.stage;
    },
    stop: () => bar.removeAttribute('value'),
  };
}

// --- the result ---

function showResult({ volumes, notices, seconds, file }: Segmented): void {
  element('volumes', HTMLTableSectionElement).replaceChildren(
    ...volumes.map(({ value, name, volumeMl, voxels }) =>
      make(
        'tr',
        {},
        make('th', { scope: 'row' }, chip(value), name),
        make('td', { className: 'number' }, milliliters(volumeMl)),
        make('td', { className: 'number' }, voxels.toLocaleString('en')),
      ),
    ),
  );
  const device = select('device').selectedOptions[0].textContent;
  text('result-facts', `Took ${duration(seconds)} on ${device}.`);
  showNotices('result-notices', notices);
  maskUrl = URL.createObjectURL(new Blob([file], { type: 'application/gzip' }));
  const link = element('download', HTMLAnchorElement);
  link.href = maskUrl;
  link.download = `${scanName(scanFiles)}_mask.nii.gz`;
  show('result', true);
  setOpacity();
  announce(
    `The scan is segmented. ${volumes.map(({ name, volumeMl }) => `${name}: ${milliliters(volumeMl)} mL`).join(', ')}`,
  );
  element('result-title', HTMLElement).focus({ preventScroll: true });
}

function clearResult(): void {
  show('result', false);
  if (maskUrl) URL.revokeObjectURL(maskUrl);
  maskUrl = undefined;
  void viewer?.then((view) => view.hideMask());
}

function showNotices(id: string, notices: readonly string[]): void {
  element(id, HTMLElement).replaceChildren(...notices.map((notice) => make('li', {}, notice)));
}

function setOpacity(): void {
  const percent = Number(range('opacity').value);
  text('opacity-at', `${percent} %`);
  void viewer?.then((view) => view.setMaskOpacity(percent / 100));
}

function showPosition({ slices, mm, intensity, label }: Position): void {
  for (const axis of [0, 1, 2] as const) {
    const slider = range(`slice-${axis}`);
    slider.value = String(slices[axis]);
    text(`slice-${axis}-at`, `${slices[axis] + 1} of ${Number(slider.max) + 1}`);
  }
  const ends = ['LR', 'PA', 'IS'];
  const place = mm.map((value, axis) => `${Math.abs(value).toFixed(1)} ${ends[axis][value < 0 ? 0 : 1]}`).join(', ');
  const name = model?.labels.find(({ value }) => value === label)?.name;
  text('readout', `${place} mm · intensity ${Number(intensity.toFixed(2))}${name ? ` · ${name}` : ''}`);
}

function startOver(): void {
  visit += 1;
  scanFiles = [];
  scan = undefined;
  clearResult();
  void viewer?.then((view) => view.clear());
  showNotices('scan-notices', []);
  show('bench', false);
  show('start', true);
  void refresh();
  button('choose-files').focus({ preventScroll: true });
}

// --- wiring ---

text('formats', `${listed(imageEndings)}, files or folders`);
void showDevices().catch((error) => fail('The page could not start its worker', error));

const inputs = { files: range('files-input'), folder: range('folder-input') };
for (const [id, input] of [
  ['choose-files', inputs.files],
  ['choose-folder', inputs.folder],
  ['choose-model-files', inputs.files],
  ['choose-model-folder', inputs.folder],
] as const) {
  button(id).addEventListener('click', () => input.click());
}
for (const input of Object.values(inputs)) {
  input.addEventListener('change', () => {
    const files = chosenFiles(input.files ?? []);
    // So that choosing the same files again counts as a change.
    input.value = '';
    void take(files);
  });
}

button('take-example').addEventListener('click', async () => {
  try {
    await take([await exampleScan()]);
  } catch (error) {
    fail('The example could not be loaded', error);
  }
});
button('start-over').addEventListener('click', () => {
  show('failure', false);
  startOver();
});
button('shipped-model').addEventListener('click', () => void takeShippedModel());
button('failure-close').addEventListener('click', () => {
  show('failure', false);
  element('main', HTMLElement).focus({ preventScroll: true });
});
button('cancel').addEventListener('click', () => {
  button('cancel').disabled = true;
  button('cancel').textContent = 'Cancelling';
  running?.abort();
});
element('run-form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  void run();
});
select('device').addEventListener('change', () => void refresh());
range('opacity').addEventListener('input', setOpacity);
for (const axis of [0, 1, 2] as const) {
  const slider = range(`slice-${axis}`);
  slider.addEventListener('input', () => void viewer?.then((view) => view.setSlice(axis, Number(slider.value))));
}

/** Depth of nested elements that a drag is over: it enters the next before it leaves the last. */
let dragDepth = 0;
const markDrag = (depth: number) => {
  dragDepth = depth;
  document.body.classList.toggle('dragging', depth > 0);
};
addEventListener('dragenter', () => markDrag(dragDepth + 1));
addEventListener('dragleave', () => markDrag(Math.max(0, dragDepth - 1)));
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', (event) => {
  event.preventDefault();
  markDrag(0);
  if (!event.dataTransfer) return;
  droppedFiles(event.dataTransfer).then(take, (error) => fail('These files were not taken', error));
});
