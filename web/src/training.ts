/**
 * Fine-tuning on the page: takes labelled scans, asks the worker to train the model on them, draws the loss, and gives the
 * bundle to keep. What training is lies in the library's `fineTune`; which scans and label maps belong together in
 * labelledFiles.ts. The model, failures and the rest of the page are main.ts's.
 */
import { type Zippable, zipSync } from 'fflate';
import { InputError } from '../../src/errors.ts';
import { showDuration } from '../../src/predict/progress.ts';
import type { FineTuneProgress } from '../../src/train/fineTune.ts';
import { manifestFile, weightsFile } from '../../src/weights/index.ts';
import { type Ask, Failure } from './client.ts';
import { drawCurve } from './curve.ts';
import { button, element, fill, input, make, note, select, show, text } from './elements.ts';
import { labelledFiles } from './labelledFiles.ts';
import type { FineTunedModel, GivenFile, LabelledCase, LabelledFiles, LoadedModel } from './protocol.ts';
import type { ModelFiles } from './shipped.ts';
import { by, listed, memory } from './wording.ts';

/** What the page does for it. */
export interface Surroundings {
  readonly ask: Ask;
  model(): LoadedModel | undefined;
  /** The model is there, or a failure is shown and it is not. */
  modelReady(): Promise<void>;
  takeModel(name: string, files: () => Promise<ModelFiles>): Promise<void>;
  fail(title: string, error: unknown): void;
  announce(words: string): void;
  showNotices(id: string, notices: readonly string[]): void;
  chip(label: number): HTMLElement;
  /** Back to where the page was. */
  leave(): void;
}

export interface Training {
  readonly isOpen: boolean;
  readonly isBusy: boolean;
  /** Shows it, with the labelled scans when some are given. */
  open(files?: readonly GivenFile[]): Promise<void>;
  close(): void;
  /** Another model is there: the cases are checked against it. */
  modelChanged(): Promise<void>;
}

/** Buttons that must not be pressed while the worker trains. */
const elsewhere = [
  'training-back',
  'choose-cases',
  'choose-cases-folder',
  'choose-model-folder',
  'choose-model-files',
  'shipped-model',
];

export function startTraining(page: Surroundings): Training {
  const { ask } = page;
  let isOpen = false;
  let given: readonly LabelledFiles[] = [];
  /** As the worker read them; undefined where the model does not fit them. */
  let cases: readonly LabelledCase[] | undefined;
  /** Another model came while training was not shown: the cases are to be read for it when it is. */
  let stale = false;
  let reading = false;
  let running: AbortController | undefined;
  let losses: number[] = [];
  let bundleUrl: string | undefined;

  const curve = document.querySelector<SVGSVGElement>('#curve')!;
  const draw = () => drawCurve(curve, losses, steps());
  const steps = () => Number(input('steps').value);
  new ResizeObserver(draw).observe(curve);

  /** Brings the panels up to date with cases and model. */
  const refresh = async () => {
    const count = cases?.length ?? 0;
    show('cases', count > 0);
    text('choose-cases', count > 0 ? 'Choose others' : 'Choose files').classList.toggle('primary', count === 0);
    note('training-hint', count > 0 ? '' : hint);
    button('train').disabled = count === 0 || reading;
    text('training-memory', '');
    if (count === 0 || reading) return;
    try {
      const bytes = await ask('trainingMemory', { device: 'wasm', batch: Number(select('batch').value) });
      const much = bytes > 4e9 ? ', which is more than browsers give a page: take fewer patches in a step' : '';
      text('training-memory', `Needs about ${memory(bytes)} of memory${much}.`);
    } catch (error) {
      page.fail('The memory could not be estimated', error);
    }
  };

  const showCases = (found: readonly LabelledCase[]) => {
    fill(
      'case-rows',
      found.map(({ name, size, labels }) =>
        make(
          'tr',
          {},
          make('th', { scope: 'row' }, name),
          make('td', {}, by(size)),
          make(
            'td',
            {},
            ...(labels.length > 0
              ? labels.map(({ value, name: label, voxels }) =>
                  make('span', { className: 'structure', title: `${voxels} voxels` }, page.chip(value), label),
                )
              : ['nothing labelled']),
          ),
        ),
      ),
    );
    const scans = found.length === 1 ? 'One labelled scan' : `${found.length} labelled scans`;
    text('training-facts', found.length > 0 ? scans : '');
    page.showNotices(
      'training-notices',
      found.flatMap(({ notices }) => notices),
    );
  };

  /** Has the worker read files; those before stay where that fails. */
  const read = async (files: readonly LabelledFiles[]) => {
    [reading, stale] = [true, false];
    button('train').disabled = true;
    note('training-hint', 'Reading the labelled scans');
    page.announce('Reading the labelled scans');
    try {
      const found = await ask('cases', { cases: files });
      [given, cases] = [files, found];
      forget();
      showCases(found);
      page.announce(`${element('training-facts', HTMLElement).textContent}: ${listed(found.map(({ name }) => name))}`);
    } catch (error) {
      page.fail('These labelled scans were not taken', error);
      // The worker let go of what it had.
      if (files !== given) await ask('cases', { cases: given }).catch(() => undefined);
      else cases = undefined;
    } finally {
      reading = false;
    }
    await refresh();
  };

  /** Lets go of a result. */
  const forget = () => {
    losses = [];
    show('tuned', false);
    text('train', 'Train').classList.add('primary');
    note('curve-note', 'The loss is drawn here, step by step.');
    if (bundleUrl) URL.revokeObjectURL(bundleUrl);
    bundleUrl = undefined;
    draw();
  };

  const showRunning = (going: boolean) => {
    show('training-running', going);
    show('training-form', !going);
    element('bench', HTMLElement).setAttribute('aria-busy', String(going));
    for (const id of elsewhere) button(id).disabled = going;
    if (!going) return;
    button('stop').disabled = false;
    text('stop', 'Stop').focus();
  };

  const progressShown = () => {
    const bar = element('training-progress', HTMLProgressElement);
    const starting = 'Getting ready to train: this takes up to a minute';
    bar.removeAttribute('value');
    text('training-text', starting);
    page.announce(starting);
    let said = performance.now();
    return ({ step, steps: total, loss, secondsLeft }: FineTuneProgress) => {
      if (step > 0) losses.push(loss);
      note('curve-note', '');
      draw();
      bar.max = total;
      bar.value = step;
      const left = secondsLeft === undefined || step === total ? '' : `, about ${showDuration(secondsLeft)} left`;
      const words = `Step ${step} of ${total}${left}`;
      text('training-text', words);
      if (performance.now() - said < 10_000) return;
      said = performance.now();
      page.announce(`${words}, loss ${loss.toFixed(2)}`);
    };
  };

  const train = async () => {
    if (running || reading || !cases) return;
    const controller = new AbortController();
    running = controller;
    show('failure', false);
    forget();
    showRunning(true);
    const options = {
      device: 'wasm',
      steps: steps(),
      rate: Number(input('rate').value),
      batch: Number(select('batch').value),
    } as const;
    try {
      const tuned = await ask('fineTune', options, { onProgress: progressShown(), signal: controller.signal });
      const files = { manifest: new Blob([tuned.manifest]), weights: new Blob([tuned.weights]) };
      await page.takeModel('the fine-tuned model', async () => files);
      showRunning(false);
      showTuned(tuned);
    } catch (error) {
      showRunning(false);
      if (error instanceof Failure && error.kind === 'cancelled') page.announce('The training was stopped');
      else page.fail('The model could not be trained', error);
      forget();
      button('train').focus();
    } finally {
      running = undefined;
    }
    await refresh();
  };

  const showTuned = ({ manifest, weights, steps: done, notices }: FineTunedModel) => {
    const name = page.model()!.name;
    const folder = name.replace(/[^\p{L}\p{N}._-]+/gu, '-');
    // Weights hardly shrink, and packing them takes as long as a step.
    const bundle: Zippable = {
      [`${folder}/${manifestFile}`]: manifest,
      [`${folder}/${weightsFile}`]: [weights, { level: 0 }],
    };
    bundleUrl = URL.createObjectURL(
      new Blob([zipSync(bundle) as Uint8Array<ArrayBuffer>], { type: 'application/zip' }),
    );
    const link = element('save-bundle', HTMLAnchorElement);
    link.href = bundleUrl;
    link.download = `${folder}.zip`;
    text('tuned-facts', `${done} ${done === 1 ? 'step' : 'steps'}. The page segments with it from now on.`);
    page.showNotices('tuned-notices', notices);
    show('tuned', true);
    text('train', 'Train further').classList.remove('primary');
    page.announce(`The model is fine-tuned: ${done} steps`);
    element('tuned-title', HTMLElement).focus({ preventScroll: true });
    element('training-title', HTMLElement).scrollIntoView({ block: 'nearest' });
  };

  element('training-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    void train();
  });
  button('stop').addEventListener('click', () => {
    button('stop').disabled = true;
    text('stop', 'Stopping after this step');
    running?.abort();
  });
  select('batch').addEventListener('change', () => void refresh());
  button('training-back').addEventListener('click', () => page.leave());
  button('segment-with-it').addEventListener('click', () => page.leave());

  return {
    get isOpen() {
      return isOpen;
    },
    get isBusy() {
      return running !== undefined || reading;
    },
    async open(files) {
      isOpen = true;
      for (const id of ['training-stage', 'training-panel']) show(id, true);
      show('tuned', bundleUrl !== undefined);
      if (!files) element('training-title', HTMLElement).focus({ preventScroll: true });
      draw();
      await page.modelReady();
      if (!files) return stale ? read(given) : refresh();
      try {
        await read(labelledFiles(files));
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        page.fail('These labelled scans were not taken', error);
        await refresh();
      }
    },
    close() {
      isOpen = false;
      for (const id of ['training-stage', 'training-panel', 'tuned']) show(id, false);
    },
    async modelChanged() {
      if (running || given.length === 0) return;
      if (isOpen) await read(given);
      else stale = true;
    },
  };
}

const hint =
  'Drop a few scans with their label maps here: CASE_0000.nii.gz with CASE.nii.gz, or CASE.nii.gz with CASE_mask.nii.gz.';
