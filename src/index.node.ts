/** The package as Node sees it: the browser's list, and what needs files and processes. */
export * from './index.ts';
