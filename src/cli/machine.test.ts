import { describe, expect, it } from 'vitest';
import { ResourceError } from '../errors.ts';
import { checkMemory, showBytes } from './machine.node.ts';

describe('memory that a job needs', () => {
  it('is shown in decimal units', () => {
    expect([showBytes(310e6), showBytes(1.44e9)]).toEqual(['310 MB', '1.4 GB']);
  });

  it('that is there passes, on this machine too', () => {
    checkMemory(2e9, 'The job', 3e9);
    checkMemory(1e6, 'The job');
  });

  it('that is not there is refused with both numbers and what to do', () => {
    const check = () => checkMemory(5e9, 'The network of liver', 1.5e9);
    expect(check).toThrow(ResourceError);
    expect(check).toThrow(
      'The network of liver needs about 5.0 GB of memory and 1.5 GB are available. Close other programs, or give --ignore-memory to try all the same.',
    );
  });
});
