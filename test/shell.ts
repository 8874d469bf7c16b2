/** The program as a shell runs it: what it prints, and its exit code. */
import { run } from '../src/cli/run.ts';

export async function shell(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const terminal = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    signal: new AbortController().signal,
    columns: 120,
  };
  return { code: await run(argv, terminal), out, err };
}
