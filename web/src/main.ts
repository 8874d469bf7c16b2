/**
 * The page: takes files, asks the worker, shows what it answers. From the start to the bench (a scan and a model), from
 * there to a run and its result, and back; or to training, which is training.ts's. What a word or number looks like is in wording.ts, the canvas in viewer.ts.
 */
import { InputError } from '../../src/errors.ts';
import type { Progress } from '../../src/index.ts';
import { showDuration } from '../../src/predict/progress.ts';
import { labelColor } from '../../src/volume/index.ts';
import { Failure, startClient } from './client.ts';
import { button, element, fill, input, make, note, select, show, text } from './elements.ts';
import { baseName, chosenFiles, droppedFiles, type Given, imagesOf, scanName, sortFiles } from './files.ts';
import { holdsLabels } from './labelledFiles.ts';
import type { GivenFile, LoadedModel, Scan, Segmented, Series } from './protocol.ts';
import { exampleScan, type ModelFiles, shippedModel } from './shipped.ts';
import { startTraining } from './training.ts';
import { openViewer, type Position, type Viewer } from './viewer.ts';
import { by, listed, type Moment, memory, milliliters, progressText, timeLeft } from './wording.ts';

const axes = [0, 1, 2] as const;

// --- what the page holds ---

const ask = startClient();
let viewer: Promise<Viewer | undefined> | undefined;
/** The files of the scan, in the order of its channels. */
let scanFiles: readonly GivenFile[] = [];
let scan: Scan | undefined;
/** The DICOM series that the files hold, when they hold several; which one is read. */
let seriesThere: readonly Series[] = [];
let seriesRead: number | undefined;
let model: LoadedModel | undefined;
let modelIsShipped = false;
/** How many models are on their way; while any is, the one that is there is not run. */
let modelsComing = 0;
/** Settled when the last model that was asked for is there, or has failed. */
let modelComing = Promise.resolve();
let reading = false;
let running: AbortController | undefined;
let maskUrl: string | undefined;
/** Counts the times of starting over, so that an answer for what is gone is not shown. */
let visit = 0;

// --- words ---

/** Says it to screen readers; the words on the page say it to the others. */
const announce = (words: string) => text('status', words);

function fail(title: string, error: unknown, advice = ''): void {
  const mendable = error instanceof InputError || (error instanceof Failure && error.kind !== 'bug');
  const message = error instanceof Error ? error.message : String(error);
  text('failure-title', title);
  text(
    'failure-text',
    mendable ? `${message} ${advice}` : `This is a fault of the page, not of your files: ${message}. Reload it.`,
  );
  show('failure', true);
  element('failure', HTMLElement).scrollIntoView({ block: 'nearest' });
}

function showNotices(id: string, notices: readonly string[]): void {
  fill(
    id,
    notices.map((notice) => make('li', {}, notice)),
  );
}

function chip(label: number): HTMLElement {
  const made = make('span', { className: 'chip' });
  made.style.background = `rgb(${labelColor(label).join(' ')})`;
  return made;
}

// --- files in ---

async function take(files: readonly GivenFile[]): Promise<void> {
  show('failure', false);
  if (running || reading || training.isBusy) {
    const wait = training.isBusy
      ? 'Stop the training, or wait for it.'
      : running
        ? 'Cancel the run, or wait for it.'
        : 'Wait until the last scan is read.';
    fail('These files were not taken', new InputError(wait));
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
    const name = manifest.path.split('/').at(-2) ?? manifest.path;
    await takeModel(name, async () => ({ manifest: manifest.bytes, weights: weights.bytes }), false);
  }
  if (given.scan.length === 0) return;
  if (training.isOpen || holdsLabels(given.scan)) await openTraining(given.scan);
  else await takeScan(given.scan);
}

/** Reads a scan; when that fails, the one before stays. */
async function takeScan(files: readonly GivenFile[]): Promise<void> {
  const here = visit;
  show('start', false);
  show('bench', true);
  if (!scan) text('stage-title', scanName(files));
  note('frame-note', 'Reading the scan');
  announce('Reading the scan');
  if (!model && modelsComing === 0) void takeShippedModel();
  try {
    await readScan(files);
    if (here !== visit) return;
    element('stage-title', HTMLElement).focus({ preventScroll: true });
    announce(`The scan is read: ${element('scan-facts', HTMLElement).textContent}`);
  } catch (error) {
    if (here !== visit) return;
    const names = files.slice(0, 3).map(({ path }) => baseName(path));
    const more = files.length > names.length ? [`${files.length - names.length} more`] : [];
    const advice =
      files.length > 1 ? 'To give the files of several channels, load the model that takes them first.' : '';
    fail(`${listed([...names, ...more])} could not be read`, error, advice);
    if (scan) note('frame-note', '');
    else startOver();
  }
}

/**
 * Reads files as the model's channels want them, and shows the scan.
 * @param wanted number of the DICOM series, where there are several; unless said, the one with the most slices
 * @throws Failure
 */
async function readScan(files: readonly GivenFile[], wanted?: number): Promise<void> {
  const here = visit;
  reading = true;
  try {
    const images = imagesOf(files, model?.channels.length ?? 1);
    const found = images.length === 1 && files.length > 1 ? await ask('series', { files }) : [];
    const [longest] = [...found].sort((a, b) => b.size[2] - a.size[2]);
    const series = found.length > 1 ? (wanted ?? longest.number) : undefined;
    const read = await ask('scan', { images, series });
    const view = await openedViewer();
    if (here !== visit) return;
    clearResult();
    scan = read;
    scanFiles = files;
    [seriesThere, seriesRead] = [found, series];
    showSeries();
    await view?.showScan(read.picture);
    const channels = read.channels > 1 ? `, ${read.channels} channels` : '';
    text('stage-title', scanName(files));
    text('scan-facts', `${read.format}, ${by(read.size)} voxels of ${by(read.spacing)} mm${channels}`);
    showNotices('scan-notices', read.notices);
    note('frame-note', view ? '' : 'The scan cannot be shown: this browser has no WebGL 2 here. It can be segmented.');
  } finally {
    reading = false;
  }
  await refresh();
}

function openedViewer(): Promise<Viewer | undefined> {
  viewer ??= openViewer(element('canvas', HTMLCanvasElement), showPosition);
  return viewer;
}

const takeShippedModel = () => takeModel('hippocampus', shippedModel, true);

/** Loads a model; when that fails, the one before stays. */
function takeModel(name: string, files: () => Promise<ModelFiles>, isShipped: boolean): Promise<void> {
  modelComing = loadModel(name, files, isShipped);
  return modelComing;
}

async function loadModel(name: string, files: () => Promise<ModelFiles>, isShipped: boolean): Promise<void> {
  const channelsBefore = model?.channels.length ?? 1;
  modelsComing += 1;
  button('run').disabled = true;
  text('model-name', 'Loading the model');
  try {
    model = await ask('model', { ...(await files()), name });
    modelIsShipped = isShipped;
    clearResult();
  } catch (error) {
    fail(`The model ${name} could not be loaded`, error);
  }
  modelsComing -= 1;
  showModel();
  // Another number of channels may make several images of the same files, or one of several.
  if (scan && model && model.channels.length !== channelsBefore && scanFiles.length > 1) {
    try {
      await readScan(scanFiles, seriesRead);
    } catch (error) {
      fail('The scan does not fit the model', error);
    }
  }
  await refresh();
  await training.modelChanged();
}

function showModel(): void {
  text('model-name', model?.name ?? 'None');
  text('model-description', model?.description ?? 'Load one to go on.');
  fill(
    'model-labels',
    (model?.labels ?? []).map(({ value, name }) => make('li', {}, chip(value), name)),
  );
  show('shipped-model', !modelIsShipped);
  element('other-model', HTMLDetailsElement).open = !model;
  note(
    'start-model',
    model && !modelIsShipped ? `The model ${model.name} is loaded; it takes ${channelsOf(model)}.` : '',
  );
}

function channelsOf({ channels }: LoadedModel): string {
  const names = listed(channels.map(({ name }) => name));
  return channels.length === 1 ? `one channel (${names})` : `${channels.length} channels (${names})`;
}

// --- the bench ---

/** Why the scan and the model do not go together; nothing when they do. */
function misfit(given: Scan, taken: LoadedModel): string {
  if (given.channels === taken.channels.length) return '';
  return `The model takes ${channelsOf(taken)} and the scan has ${given.channels}; give one file for each channel, all at once.`;
}

/** What neither the files nor the network can tell, said before a run. */
function warning(given: Scan, taken: LoadedModel): string {
  // Air is at -1000 HU: a CT without any of it is rare, and one whose offset was lost is not.
  const [low] = given.range;
  if (taken.channels[0].isCt && low > -200) {
    return `This model was trained on CT in Hounsfield units. The lowest value of this scan is ${Number(low.toFixed(1))}: it may be no CT, or its offset may be lost.`;
  }
  return 'No file says which body part it shows. On anything but what this model was trained for, its mask means nothing.';
}

/** Brings the panels up to date with scan and model. */
async function refresh(): Promise<void> {
  const here = visit;
  const problem = scan && model ? misfit(scan, model) : '';
  note('model-warning', scan && model ? warning(scan, model) : '');
  note('misfit', problem);
  text('memory', '');
  showChannels();
  button('run').disabled = !scan || !model || problem !== '' || modelsComing > 0;
  if (!scan || !model || problem) return;
  showSteps(model.step);
  try {
    const bytes = await ask('memory', { device: chosenDevice() });
    if (here !== visit || running) return;
    const much = bytes > 4e9 ? ', which is more than most browsers give a page' : '';
    text('memory', `Needs about ${memory(bytes)} of memory${much}.`);
  } catch (error) {
    fail('The memory could not be estimated', error);
  }
}

/** Which file is which channel, to be seen and changed: nothing in the files says it. */
function showChannels(): void {
  const names = model && imagesOf(scanFiles, model.channels.length).length > 1 ? model.channels : [];
  show('channels', names.length > 0);
  fill(
    'channels',
    names.map(({ name }, index) => {
      const files = scanFiles.map(({ path }, file) =>
        make('option', { value: String(file), selected: file === index }, baseName(path)),
      );
      const choice = make('select', { onchange: () => void swapChannels(index, Number(choice.value)) }, ...files);
      return make('label', { className: 'field' }, name, choice);
    }),
  );
}

/** Which series of a folder with several is shown, to be changed. */
function showSeries(): void {
  show('series-field', seriesThere.length > 1);
  fill(
    'series',
    seriesThere.map(({ number, modality, size, spacing }) => {
      const words = `${number}: ${modality}, ${by(size)}${spacing ? `, ${by(spacing)} mm` : ''}`;
      return make('option', { value: String(number), selected: number === seriesRead }, words);
    }),
  );
}

async function changeSeries(wanted: number): Promise<void> {
  if (reading || running) return;
  show('failure', false);
  note('frame-note', 'Reading the scan');
  try {
    await readScan(scanFiles, wanted);
  } catch (error) {
    fail(`Series ${wanted} could not be read`, error);
    note('frame-note', '');
    showSeries();
  }
}

async function swapChannels(a: number, b: number): Promise<void> {
  const order = [...scanFiles];
  [order[a], order[b]] = [order[b], order[a]];
  try {
    await readScan(order);
  } catch (error) {
    fail('The scan could not be read again', error);
  }
}

function showSteps(planned: number): void {
  const before = select('step').value;
  const choices = [...new Set([planned, 0.25, 0.5, 0.75])].sort((a, b) => a - b);
  const pace = (step: number) => (step === planned ? 'as planned' : step < planned ? 'slower' : 'faster');
  fill(
    'step',
    choices.map((step) => make('option', { value: String(step) }, `${Math.round((1 - step) * 100)} %, ${pace(step)}`)),
  );
  select('step').value = String(choices.find((step) => String(step) === before) ?? planned);
}

const chosenDevice = (): 'wasm' | 'webgpu' => (select('device').value === 'webgpu' ? 'webgpu' : 'wasm');

async function showDevices(): Promise<void> {
  const reports = await ask('devices', {});
  const isCpu = (device: string) => device === 'wasm';
  fill(
    'device',
    reports.map(({ device, available, detail }) => {
      const words = available ? detail.replace(/^GPU through /, '') : 'not available';
      return make('option', { value: device, disabled: !available }, `${isCpu(device) ? 'CPU' : 'GPU'} (${words})`);
    }),
  );
  note(
    'gpu-note',
    reports
      .filter(({ available }) => !available)
      .map(({ detail }) => `GPU: ${detail}`)
      .join(' '),
  );
  note(
    'thread-note',
    crossOriginIsolated ? '' : 'One thread: this server does not isolate the page, so that browsers allow no more.',
  );
}

// --- a run ---

async function run(): Promise<void> {
  if (!scan || !model || running || reading) return;
  const labels = new Map(model.labels.map(({ value, name }) => [value, name]));
  const controller = new AbortController();
  running = controller;
  show('failure', false);
  clearResult();
  showRunning(true);
  try {
    const options = { device: chosenDevice(), mirror: input('mirror').checked, step: Number(select('step').value) };
    const asked = { onProgress: progressShown(), signal: controller.signal };
    const segmented = await ask('segment', options, asked);
    await (await openedViewer())?.showMask(segmented.picture, labels);
    showRunning(false);
    showResult(segmented);
  } catch (error) {
    showRunning(false);
    if (error instanceof Failure && error.kind === 'cancelled') announce('The run is cancelled');
    else fail('The scan could not be segmented', error);
    button('run').focus();
  } finally {
    running = undefined;
  }
}

function showRunning(going: boolean): void {
  show('running', going);
  show('run-form', !going);
  element('bench', HTMLElement).setAttribute('aria-busy', String(going));
  for (const id of ['start-over', 'choose-model-folder', 'choose-model-files', 'shipped-model', 'fine-tune-model']) {
    button(id).disabled = going;
  }
  for (const choice of document.querySelectorAll<HTMLSelectElement>('#channels select, #series')) {
    choice.disabled = going;
  }
  if (!going) return;
  button('cancel').disabled = false;
  text('cancel', 'Cancel').focus();
}

/** Shows progress as it comes; says it aloud at the start of each stage, and within one every ten seconds at most. */
function progressShown(): (progress: Progress) => void {
  const bar = element('progress', HTMLProgressElement);
  const start = { done: 0, time: performance.now() / 1000 };
  let first: Moment | undefined;
  let [stage, said] = ['starting', start.time];
  text('progress-text', 'Starting the network');
  announce('Starting the network');
  bar.removeAttribute('value');
  return (progress) => {
    const now = { done: progress.done, time: performance.now() / 1000 };
    if (progress.stage === 'network') {
      first ??= now;
      bar.max = progress.total;
      bar.value = progress.done;
    } else {
      bar.removeAttribute('value');
    }
    const words = progressText(progress, timeLeft(start, first ?? now, now, progress.total));
    text('progress-text', words);
    if (progress.stage === stage && now.time - said < 10) return;
    [stage, said] = [progress.stage, now.time];
    announce(words);
  };
}

// --- training ---

const training = startTraining({
  ask,
  model: () => model,
  async modelReady() {
    if (!model && modelsComing === 0) void takeShippedModel();
    await modelComing;
  },
  takeModel: (name, files) => takeModel(name, files, false),
  fail,
  announce,
  showNotices,
  chip,
  leave: leaveTraining,
});

async function openTraining(files?: readonly GivenFile[]): Promise<void> {
  for (const id of ['start', 'scan-stage', 'segment-panel', 'result', 'fine-tune-model']) show(id, false);
  show('bench', true);
  await training.open(files);
}

/** To the scan that is there, or to the start. */
function leaveTraining(): void {
  show('failure', false);
  training.close();
  for (const id of ['scan-stage', 'segment-panel', 'fine-tune-model']) show(id, true);
  show('bench', scan !== undefined);
  show('start', !scan);
  show('result', maskUrl !== undefined);
  if (scan) element('stage-title', HTMLElement).focus({ preventScroll: true });
  else button('choose-files').focus({ preventScroll: true });
}

// --- the result ---

function showResult({ volumes, notices, seconds, file }: Segmented): void {
  fill(
    'volumes',
    volumes.map(({ value, name, volumeMl, voxels }) =>
      make(
        'tr',
        {},
        make('th', { scope: 'row' }, chip(value), name),
        make('td', { className: 'number' }, milliliters(volumeMl)),
        make('td', { className: 'number' }, voxels.toLocaleString('en')),
      ),
    ),
  );
  text(
    'result-facts',
    `${seconds < 10 ? `${seconds.toFixed(1)} s` : showDuration(seconds)} on ${select('device').selectedOptions[0].textContent}`,
  );
  showNotices('result-notices', notices);
  maskUrl = URL.createObjectURL(new Blob([file], { type: 'application/gzip' }));
  const link = element('download', HTMLAnchorElement);
  link.href = maskUrl;
  link.download = `${scanName(scanFiles)}_mask.nii.gz`;
  show('result', true);
  text('run', 'Segment again').classList.remove('primary');
  setOpacity();
  const said = volumes.map(({ name, volumeMl }) => `${name} ${milliliters(volumeMl)} mL`);
  announce(`The scan is segmented: ${listed(said)}`);
  element('result-title', HTMLElement).focus({ preventScroll: true });
  element('stage-title', HTMLElement).scrollIntoView({ block: 'nearest' });
}

function clearResult(): void {
  show('result', false);
  text('run', 'Segment the scan').classList.add('primary');
  if (maskUrl) URL.revokeObjectURL(maskUrl);
  maskUrl = undefined;
  void viewer?.then((view) => view?.hideMask());
}

function setOpacity(): void {
  const percent = Number(input('opacity').value);
  text('opacity-at', `${percent} %`);
  void viewer?.then((view) => view?.setMaskOpacity(percent / 100));
}

function showPosition({ slices, counts, mm, intensity, label }: Position): void {
  for (const axis of axes) {
    const slider = input(`slice-${axis}`);
    slider.max = String(counts[axis] - 1);
    slider.value = String(slices[axis]);
    text(`slice-${axis}-at`, `${slices[axis] + 1} of ${counts[axis]}`);
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
  void viewer?.then((view) => view?.clear());
  text('scan-facts', '');
  showNotices('scan-notices', []);
  show('bench', false);
  show('start', true);
  void refresh();
  button('choose-files').focus({ preventScroll: true });
}

// --- wiring ---

showDevices().catch((error) => fail('The page could not start its worker', error));

for (const [id, chooser] of [
  ['choose-files', 'files-input'],
  ['choose-folder', 'folder-input'],
  ['choose-model-files', 'files-input'],
  ['choose-model-folder', 'folder-input'],
  ['choose-cases', 'files-input'],
  ['choose-cases-folder', 'folder-input'],
]) {
  button(id).addEventListener('click', () => input(chooser).click());
}
for (const chooser of [input('files-input'), input('folder-input')]) {
  chooser.addEventListener('change', () => {
    const files = chosenFiles(chooser.files ?? []);
    // So that choosing the same files again counts as a change.
    chooser.value = '';
    void take(files);
  });
}

button('take-example').addEventListener('click', () => {
  exampleScan()
    .then((file) => take([file]))
    .catch((error) => fail('The example could not be loaded', error));
});
button('start-over').addEventListener('click', () => {
  show('failure', false);
  startOver();
});
for (const id of ['start-training', 'fine-tune-model']) {
  button(id).addEventListener('click', () => void openTraining());
}
button('shipped-model').addEventListener('click', () => void takeShippedModel());
button('failure-close').addEventListener('click', () => {
  show('failure', false);
  element('main', HTMLElement).focus({ preventScroll: true });
});
button('cancel').addEventListener('click', () => {
  button('cancel').disabled = true;
  text('cancel', 'Cancelling');
  running?.abort();
});
element('run-form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault();
  void run();
});
select('series').addEventListener('change', () => void changeSeries(Number(select('series').value)));
select('device').addEventListener('change', () => void refresh());
input('opacity').addEventListener('input', setOpacity);
for (const axis of axes) {
  const slider = input(`slice-${axis}`);
  slider.addEventListener('input', () => void viewer?.then((view) => view?.setSlice(axis, Number(slider.value))));
}

/** How many nested elements a drag is over: it enters the next before it leaves the last. */
let dragDepth = 0;
const markDrag = (depth: number) => {
  dragDepth = Math.max(0, depth);
  document.body.classList.toggle('dragging', dragDepth > 0);
};
// Captured on the way down: the viewer's canvas lets none of these events come up again.
const capture = { capture: true };
addEventListener('dragenter', () => markDrag(dragDepth + 1), capture);
addEventListener('dragleave', () => markDrag(dragDepth - 1), capture);
addEventListener('dragover', (event) => event.preventDefault(), capture);
addEventListener(
  'drop',
  (event) => {
    event.preventDefault();
    markDrag(0);
    if (!event.dataTransfer) return;
    droppedFiles(event.dataTransfer).then(take, (error) => fail('These files were not taken', error));
  },
  capture,
);
