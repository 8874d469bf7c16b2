/** The thread that prepares cases for preprocessing.node.ts: the files of a case in, what was done out, in turn. */
import { parentPort, workerData } from 'node:worker_threads';
import type { CaseFiles } from '../dataset/folder.node.ts';
import { caseKey, findCase, storeCase } from './caseCache.node.ts';
import { readCase } from './cases.node.ts';
import { prepareCase } from './cases.ts';
import type { PreprocessAnswer, PreprocessWorkerData } from './preprocessing.node.ts';

const { description, plan, folder } = workerData as PreprocessWorkerData;

async function answerOf(files: CaseFiles): Promise<PreprocessAnswer> {
  try {
    const key = await caseKey(files, description, plan);
    const found = await findCase(folder, plan, files.name, key);
    if (found) return { made: false, notices: found.notices };
    const scan = await readCase(files, description);
    const notices = scan.notices ?? [];
    await storeCase(folder, plan, key, prepareCase(files.name, scan, plan, description.ignoreLabel), notices);
    return { made: true, notices };
  } catch (error) {
    const { name: kind, message, stack } = error as Error;
    return { kind, message, stack };
  }
}

parentPort!.on('message', async (files: CaseFiles) => parentPort!.postMessage(await answerOf(files)));
