import { defineConfig } from 'vitest/config';

/** They start browsers, which want the whole machine: one after the other, when all else is done. */
const inBrowsers = ['test/browser.test.ts', 'test/page.test.ts', 'test/report.test.ts', 'test/trainingPage.test.ts'];

export default defineConfig({
  test: {
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'web/src/**/*.test.ts'],
          exclude: inBrowsers,
          maxWorkers: 2,
        },
      },
      {
        extends: true,
        test: { name: 'browser', include: inBrowsers, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
