/** The pickles are NumPy 2.4.6's own (`pickle.dumps(value, protocol)`), in base64. */
import { describe, expect, it } from 'vitest';
import { CheckpointError } from './checkpointError.ts';
import { readPickle } from './pickle.ts';
import type { NumpyArray, PickleValue } from './pickleValue.ts';

const read = (base64: string) => readPickle(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));

describe('an array as NumPy pickled it', () => {
  const arrays: [string, string, Omit<NumpyArray, 'kind'>][] = [
    [
      'in Fortran order, protocol 2: [[0, 1, 2], [3, 4, 5]] comes back row by row',
      'gAJjbnVtcHkuX2NvcmUubXVsdGlhcnJheQpfcmVjb25zdHJ1Y3QKcQBjbnVtcHkKbmRhcnJheQpxAUsAhXECY19jb2RlY3MKZW5jb2RlCnEDWAEAAABicQRYBgAAAGxhdGluMXEFhnEGUnEHh3EIUnEJKEsBSwJLA4ZxCmNudW1weQpkdHlwZQpxC1gCAAAAaTJxDImIh3ENUnEOKEsDWAEAAAA8cQ9OTk5K/////0r/////SwB0cRBiiGgDWAwAAAAAAAMAAQAEAAIABQBxEWgFhnESUnETdHEUYi4=',
      { dtype: 'int16', shape: [2, 3], data: Int16Array.of(0, 1, 2, 3, 4, 5) },
    ],
    [
      'in Fortran order, protocol 5',
      'gAWVggAAAAAAAACME251bXB5Ll9jb3JlLm51bWVyaWOUjAtfZnJvbWJ1ZmZlcpSTlCiWDAAAAAAAAAAAAAMAAQAEAAIABQCUjAVudW1weZSMBWR0eXBllJOUjAJpMpSJiIeUUpQoSwOMATyUTk5OSv////9K/////0sAdJRiSwJLA4aUjAFGlHSUUpQu',
      { dtype: 'int16', shape: [2, 3], data: Int16Array.of(0, 1, 2, 3, 4, 5) },
    ],
    [
      'high byte first',
      'gASVkQAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChLAUsChZRoA4wFZHR5cGWUk5SMAmY0lImIh5RSlChLA4wBPpROTk5K/////0r/////SwB0lGKJQwg/wAAAwBAAAJR0lGIu',
      { dtype: 'float32', shape: [2], data: Float32Array.of(1.5, -2.25) },
    ],
    [
      'of unsigned 16-bit numbers',
      'gASVjQAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChLAUsChZRoA4wFZHR5cGWUk5SMAnUylImIh5RSlChLA4wBPJROTk5K/////0r/////SwB0lGKJQwT//wEAlHSUYi4=',
      { dtype: 'uint16', shape: [2], data: Uint16Array.of(65535, 1) },
    ],
    [
      'of texts, one with a zero within',
      'gASVswAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChLAUsDhZRoA4wFZHR5cGWUk5SMAlU0lImIh5RSlChLA4wBPJROTk5LEEsESwh0lGKJQzDpAAAAAAAAAAAAAAAAAAAAYQAAAGIAAAAAAAAAYwAAAAAAAAAAAAAAAAAAAAAAAACUdJRiLg==',
      { dtype: 'text', shape: [3], data: ['é', 'ab\0c', ''] },
    ],
    [
      'of texts, high byte first',
      'gASVkwAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChLAUsChZRoA4wFZHR5cGWUk5SMAlUylImIh5RSlChLA4wBPpROTk5LCEsESwh0lGKJQxAAAADpAAAAAAAAAGEAAABilHSUYi4=',
      { dtype: 'text', shape: [2], data: ['é', 'ab'] },
    ],
    [
      'of byte texts',
      'gASViQAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChLAUsChZRoA4wFZHR5cGWUk5SMAlMzlImIh5RSlChLA4wBfJROTk5LA0sBSwB0lGKJQwZ4eQB6AACUdJRiLg==',
      { dtype: 'text', shape: [2], data: ['xy', 'z'] },
    ],
  ];
  for (const [what, base64, array] of arrays) it(what, () => expect(read(base64)).toEqual({ kind: 'array', ...array }));

  it('with its axes transposed, protocol 5: 0..23 as 2x3x4, first two axes exchanged', () => {
    const { shape, data } = read(
      'gAWVmAAAAAAAAACME251bXB5Ll9jb3JlLm51bWVyaWOUjAtfZnJvbWJ1ZmZlcpSTlCiWGAAAAAAAAAAAAQIDBAUGBwgJCgsMDQ4PEBESExQVFheUjAVudW1weZSMBWR0eXBllJOUjAJ1MZSJiIeUUpQoSwOMAXyUTk5OSv////9K/////0sAdJRiSwJLA0sEh5SMAUuUSwFLAEsCh5R0lFKULg==',
    ) as NumpyArray<'uint8'>;
    expect(shape).toEqual([3, 2, 4]);
    expect([...data]).toEqual([0, 1, 2, 3, 12, 13, 14, 15, 4, 5, 6, 7, 16, 17, 18, 19, 8, 9, 10, 11, 20, 21, 22, 23]);
  });
});

describe('a scalar as NumPy pickled it', () => {
  it('is a plain value: number, bigint beyond 2^53, boolean, text', () => {
    const values = read(
      'gASVuAEAAAAAAABdlCiMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAZzY2FsYXKUk5SMBW51bXB5lIwFZHR5cGWUk5SMAmY4lImIh5RSlChLA4wBPJROTk5K/////0r/////SwB0lGJDCJqZmZmZmbk/lIaUUpRoA2gGjAJmNJSJiIeUUpQoSwNoCk5OTkr/////Sv////9LAHSUYkMEAAAAP5SGlFKUaANoBowCZjKUiYiHlFKUKEsDaApOTk5K/////0r/////SwB0lGJDAgDAlIaUUpRoA2gGjAJpOJSJiIeUUpQoSwNoCk5OTkr/////Sv////9LAHSUYkMIAQAAAAAAABCUhpRSlGgDaAaMAnUxlImIh5RSlChLA4wBfJROTk5K/////0r/////SwB0lGJDAciUhpRSlGgDaAaMAmIxlImIh5RSlChLA2gnTk5OSv////9K/////0sAdJRiQwEBlIaUUpRoA2gGjAJVMpSJiIeUUpQoSwNoCk5OTksISwRLCHSUYkMIaAAAAOkAAACUhpRSlGgDaAaMAlMxlImIh5RSlChLA2gnTk5OSwFLAUsAdJRiQwFxlIaUUpRlLg==',
    );
    expect(values).toEqual([0.1, 0.5, -2, 2n ** 60n + 1n, 200, true, 'hé', 'q']);
  });

  it('of complex numbers, like an array of objects, is refused with its type', () => {
    const complex =
      'gASVagAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAZzY2FsYXKUk5SMBW51bXB5lIwFZHR5cGWUk5SMAmM4lImIh5RSlChLA4wBPJROTk5K/////0r/////SwB0lGJDCAAAgD8AAAAAlIaUUpQu';
    const objects =
      'gASVigAAAAAAAACMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChLAUsBhZRoA4wFZHR5cGWUk5SMAk84lImIh5RSlChLA4wBfJROTk5K/////0r/////Sz90lGKJXZROYXSUYi4=';
    expect(() => read(complex)).toThrow('the NumPy type "c8" is not read');
    expect(() => read(objects)).toThrow('the NumPy type "O8" is not read');
  });
});

describe('an array that claims too much', () => {
  const bytes = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const array = (code: string, shape: string, data: string, more = '') =>
    bytes(
      `\x80\x02cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01${shape}` +
        `cnumpy\ndtype\n(U${String.fromCharCode(code.length)}${code}K\x00K\x01tR\x89U${String.fromCharCode(data.length)}${data}tb${more}.`,
    );

  it('of the form that Python 2 wrote is read when its data fill it', () => {
    expect(readPickle(array('i2', 'K\x02\x85', '\x01\x00\x02\x00'))).toMatchObject({
      dtype: 'int16',
      shape: [2],
      data: Int16Array.of(1, 2),
    });
  });

  it('is refused before anything is allocated: 2^40 numbers, 2^40 empty texts, a billion characters each', () => {
    const claims: PickleValue[] = [];
    for (const file of [
      array('f8', 'I1099511627776\n\x85', 'abcdefgh'),
      array('U0', 'I1099511627776\n\x85', ''),
      array('U999999999', 'K\x01\x85', ''),
      array('i2', '(' + 'I2\n'.repeat(65) + 't', ''),
    ]) {
      expect(() => claims.push(readPickle(file))).toThrow(CheckpointError);
    }
    expect(claims).toEqual([]);
  });
});
