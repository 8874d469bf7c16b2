/**
 * What a person sees of a training: how it begins, a line that changes while it runs, a line for each epoch that stays, the
 * scores at its end, and after an interrupt how it goes on.
 */
import { showDuration } from '../predict/index.ts';
import type { RunListeners, RunRequest, RunStart, Trained } from '../train/run.node.ts';
import type { RunProgress, RunRecord } from '../train/run.ts';
import { showBytes } from './machine.node.ts';
import { type StatusLine, statusLine } from './progress.ts';
import type { Terminal } from './terminal.ts';

export const showDice = (value: number) => (Number.isNaN(value) || value === null ? '-' : value.toFixed(3));

function showEpoch(record: RunRecord, epochs: number | null): string {
  if (record.kind === 'event') return `${record.text}\n`;
  const scores = Object.entries(record.dice ?? {}).map(([name, value]) => `${name} ${showDice(value)}`);
  const parts = [
    `epoch ${record.epoch}${epochs === null ? '' : ` of ${epochs}`}`,
    `loss ${record.loss.toFixed(4)}`,
    ...(scores.length > 0 ? [`Dice ${scores.join(', ')}`] : []),
    `rate ${record.learningRate.toPrecision(3)}`,
    `${record.examplesPerSecond.toFixed(1)} examples/s`,
    ...(record.waitingShare >= 0.03 ? [`waits for data ${Math.round(100 * record.waitingShare)} %`] : []),
    showBytes(record.memoryBytes),
    showDuration(record.seconds),
  ];
  return `${parts.join(' | ')}\n`;
}

function showProgress({
  epoch,
  epochs,
  stage,
  loss,
  learningRate,
  examplesPerSecond,
  secondsLeft,
  memoryBytes,
}: RunProgress) {
  const parts = [
    `epoch ${epoch}${epochs === null ? '' : ` of ${epochs}`}`,
    stage === 'validating' ? 'validating' : `loss ${loss.toFixed(4)}`,
    `rate ${learningRate.toPrecision(3)}`,
    ...(examplesPerSecond > 0 ? [`${examplesPerSecond.toFixed(1)} examples/s`] : []),
    showBytes(memoryBytes),
    ...(secondsLeft === undefined ? [] : [`about ${showDuration(secondsLeft)} left`]),
  ];
  return parts.join(' | ');
}

function showStart({ settings, trainingCases, validationCases, step, memoryBytes }: RunStart): string {
  const { network, batch, epochs, batchesPerEpoch } = settings;
  const until = epochs === null ? 'as many epochs as the time limit leaves' : `${epochs} epochs`;
  return (
    `${step > 0 ? `Going on from step ${step}. ` : ''}${trainingCases} training and ${validationCases} validation cases; ` +
    `patch ${network.patch.join('x')}, batch ${batch}, ${until} of ${batchesPerEpoch} batches; ` +
    `about ${showBytes(memoryBytes)} of memory.\n`
  );
}

/** What is seen of one training, or of several one after the other. */
export interface TrainingView {
  readonly listeners: Required<Omit<RunListeners, 'signal'>>;
  readonly line: StatusLine;
  readonly notices: string[];
  /** Takes the changing line away; after an interrupt says how to go on. To be called however the work ended. */
  end(): void;
}

export function trainingView(terminal: Terminal): TrainingView {
  const line = statusLine(terminal);
  const notices: string[] = [];
  let epochs: number | null = null;
  let last: RunProgress | undefined;
  return {
    line,
    notices,
    listeners: {
      onNotice: (text) => {
        notices.push(text);
        line.print(`note: ${text}\n`);
      },
      onCase: (done, total, stage) => line.show(`${stage} case ${done} of ${total}`, done / total),
      onStart: (start) => {
        ({ epochs } = start.settings);
        line.print(showStart(start));
      },
      onProgress: (progress) => {
        last = progress;
        ({ epochs } = progress);
        line.show(showProgress(progress), progress.steps === null ? 0 : progress.step / progress.steps);
      },
      onRecord: (record) => line.print(showEpoch(record, epochs)),
    },
    end() {
      line.end();
      if (terminal.signal.aborted && last) {
        terminal.err(`Stopped after step ${last.step}, with a checkpoint; the same command goes on from there.\n`);
      }
    },
  };
}

/**
 * Trains to the end, or until the terminal's signal.
 * @returns what came of it, and what was said on the way
 * @throws as `trainInFolder`
 */
export async function trainShown(
  request: RunRequest,
  terminal: Terminal,
): Promise<{ trained: Trained; notices: string[] }> {
  // Loaded when they are needed: the runtime's library is large, and help should come at once.
  const { trainInFolder } = await import('../train/run.node.ts');
  const { nodeEngine } = await import('../engine/node.ts');
  const view = trainingView(terminal);
  try {
    const trained = await trainInFolder(nodeEngine, request, { ...view.listeners, signal: terminal.signal });
    return { trained, notices: view.notices };
  } finally {
    view.end();
  }
}

/** Prints what was trained, with the scores of the validation cases. */
export function showTrained({ bundle, epochs, steps, seconds, scores, cases }: Trained, terminal: Terminal): void {
  terminal.out(`${bundle}: ${epochs} epochs, ${steps} steps, ${showDuration(seconds)}\n`);
  if (!scores) return;
  for (const [name, value] of Object.entries(scores.dice)) {
    terminal.out(`  ${name.padEnd(28)} Dice ${showDice(value)}\n`);
  }
  terminal.out(`  ${'mean'.padEnd(28)} Dice ${showDice(scores.mean)}  (${cases.length} validation cases)\n`);
}
