/**
 * The fixed splits behind the published scores of UNETR++, as its code lists them: every fold trains on the same cases, and
 * the cases that choose the best checkpoint are those that the scores are of.
 */
import type { Split } from './split.ts';

/** `1-3 7` as numbers of that many digits behind a prefix. */
function ids(prefix: string, digits: number, ranges: string): string[] {
  return ranges.split(' ').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => prefix + String(first + i).padStart(digits, '0'));
  });
}

export const synapseSplit: Split = {
  train: ids('img', 4, '5-7 9-10 21 23-24 26-28 30-31 33-34 37 39-40'),
  validation: ids('img', 4, '1-4 8 22 25 29 32 35-36 38'),
};

/** End-diastolic and end-systolic frame of the ACDC patients 1 to 100. */
const acdcFrames = `
01+12 01+12 01+15 01+15 01+13 01+16 01+07 01+13 01+13 01+13 01+08 01+13 01+14 01+13 01+10 01+12 01+09 01+10 01+11 01+11
01+13 01+11 01+09 01+09 01+09 01+12 01+11 01+09 01+12 01+12 01+10 01+12 01+14 01+16 01+11 01+12 01+12 01+11 01+10 01+13
01+11 01+16 01+07 01+11 01+13 01+10 01+09 01+08 01+11 01+12 01+11 01+09 01+12 01+12 01+10 01+12 01+09 01+14 01+09 01+14
01+10 01+09 01+16 01+12 01+14 01+11 01+10 01+12 01+12 01+10 01+09 01+11 01+10 01+12 01+06 01+12 01+09 01+09 01+11 01+10
01+07 01+07 01+08 01+10 01+09 01+08 01+10 01+12 01+10 04+11 01+09 01+06 01+14 01+07 01+12 01+08 01+11 01+09 01+09 01+13`
  .trim()
  .split(/\s+/);
const acdcTest = new Set(ids('patient', 3, '2-3 8-9 12 14 17 24 42 48-49 53 55 64 67 79 81 88 92 95'));
const acdcCases = (isTest: boolean) =>
  acdcFrames.flatMap((frames, index) => {
    const patient = `patient${String(index + 1).padStart(3, '0')}`;
    return acdcTest.has(patient) === isTest ? frames.split('+').map((frame) => `${patient}_frame${frame}`) : [];
  });

/** 80 patients to train with and 20 to test with, two frames each. */
export const acdcSplit: Split = { train: acdcCases(false), validation: acdcCases(true) };

export const lungSplit: Split = {
  train: ids(
    'lung_',
    3,
    '4-6 9-10 14-16 18 20 22-23 26 28-29 31 33-34 36-38 41-43 45 47 49 51 53-55 57 59 61 64-66 69 71 73-75 78-80 84 86 92 95-96',
  ),
  validation: ids('lung_', 3, '1 3 25 27 44 46 48 58 62 70 81 83 93'),
};

/** 24 of the 484 cases are in neither part: the authors kept them for tuning. */
export const bratsSplit: Split = {
  train: ids(
    'BRATS_',
    3,
    '1-10 13-17 19 22-27 30-31 33 35 37-40 42-46 48 50-52 54-55 60-68 70 72-75 78-88 91 93-94 96-98 100-102 104 108 110-112 115-117 ' +
      '119-123 125-138 140-144 146 148-150 153-155 158-160 162-171 173-175 177-180 182-189 191-193 195 197 199-203 206-208 210-219 ' +
      '222-226 228-233 236-239 241 243-244 246-249 251-255 258-259 261-268 272-280 283-286 288 290 293-294 296-304 306-309 311-313 ' +
      '315-322 324 326 328-329 332 334-336 338-345 347-349 351 353-360 363-381 383-388 390-396 398-424 426-431 433-449 451-484',
  ),
  validation: ids(
    'BRATS_',
    3,
    '11-12 18 20-21 28-29 32 34 36 41 47 49 53 56-57 69 71 89-90 92 95 103 105-107 109 118 145 147 156 161 172 176 181 194 196 198 ' +
      '204-205 209 220-221 227 234-235 245 250 256-257 260 269-271 281-282 287 289 291-292 310 314 323 327 330 333 337 346 350 352 361 ' +
      '382 397',
  ),
};
