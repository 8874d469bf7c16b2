/**
 * Python's pickle (protocols 0 to 5) to plain values, without Python and without its danger: a pickle is a program for
 * a stack machine that may import and call anything, and this machine knows no import. A name either stands on the
 * allow-list (allowList.ts), which says what plain value it makes, or the file is refused when the name is met.
 *
 * Bounded: steps and copies are counted, texts, integers and nesting have limits, and every length is checked against
 * the file before it is believed. Opcodes as in Python's `pickletools`.
 */
import { allowList, checkKey, setItem, setState, storageFromId } from './allowList.ts';
import { CheckpointError, type CheckpointFault } from './checkpointError.ts';
import { type Construction, plainInteger } from './numpy.ts';
import { type GlobalReference, isKind, nameKind, type Opaque, type PickleValue } from './pickleValue.ts';
import { quote } from './quote.ts';

export interface PickleOptions {
  /** What to call the file in messages. */
  readonly name?: string;
  /**
   * What to do with a name that is not on the allow-list: refuse the file (the default), or put an `Opaque` in the
   * place of whatever it makes, so that the rest can be read.
   */
  readonly unknown?: 'refuse' | 'skip';
}

export interface Unpickled {
  readonly value: PickleValue;
  /** As the file states it; 0 when it does not, as in protocols 0 and 1. */
  readonly protocol: number;
  /** One past the pickle's last byte. */
  readonly end: number;
}

// A checkpoint of a thousand tensors takes about 50,000 steps. Each step makes at most one value, so that ten million
// keep all values together below a gigabyte; those that weigh more (dictionaries, bytes, what calls make) count more.
const stepLimit = 10_000_000;
const stepsPerObject = 8;
const textLimit = 100_000_000;
const nameLimit = 1000;
const integerByteLimit = 1024;
const nestingLimit = 100;

/**
 * The value of a file that is one pickle.
 * @throws CheckpointError when it is none, is cut short or damaged, goes on behind the pickle, or asks for a name that
 *   is not on the allow-list
 */
export function readPickle(bytes: Uint8Array, options: PickleOptions = {}): PickleValue {
  const { value, end } = unpickle(bytes, 0, options);
  if (end !== bytes.length) {
    const name = options.name ?? 'the pickle';
    throw new CheckpointError(
      'not-a-checkpoint',
      `${name} is not a pickle: one ends at byte ${end}, but the file has ${bytes.length}.`,
    );
  }
  return value;
}

/**
 * Runs the pickle that begins at byte `start`.
 * @throws CheckpointError
 */
export function unpickle(bytes: Uint8Array, start: number, options: PickleOptions = {}): Unpickled {
  const name = options.name ?? 'the pickle';
  const skip = options.unknown === 'skip';
  const file = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  let position = start;
  let opcodeAt = start;
  let steps = 0;
  let allocated = 0;
  // Texts of one byte each, as JavaScript holds them, take the most: about forty times their bytes.
  const allocationLimit = 64 * file.length + 4096;

  const stack: PickleValue[] = [];
  const marks: number[] = [];
  const memo = new Map<number, PickleValue>();

  const at: Construction = {
    fail(kind, fault): never {
      const states: Record<CheckpointFault, string> = {
        'not-a-checkpoint': 'is not a checkpoint',
        truncated: 'is cut short',
        damaged: 'is damaged, or is no pickle',
        unsupported: 'cannot be read',
        'global-not-allowed': 'is refused',
      };
      throw new CheckpointError(kind, `${name} ${states[kind]}: ${fault} (at byte ${opcodeAt} of the pickle).`);
    },
    allocate(count) {
      allocated += count;
      if (allocated > allocationLimit) {
        at.fail('unsupported', `it makes more than ${allocationLimit} bytes out of ${file.length}`);
      }
    },
  };

  function countSteps(count: number): void {
    steps += count;
    if (steps > stepLimit) at.fail('unsupported', `it takes more than ${stepLimit} steps`);
  }

  /** Moves past `length` bytes; where they begin. */
  function advance(length: number): number {
    if (length > file.length - position) {
      at.fail('truncated', `${length} bytes are announced, ${file.length - position} are left`);
    }
    const begin = position;
    position += length;
    return begin;
  }

  const u8 = () => file[advance(1)];
  const u16 = () => view.getUint16(advance(2), true);
  const u32 = () => view.getUint32(advance(4), true);
  const i32 = () => view.getInt32(advance(4), true);
  /** Beyond 2^53 the number is rounded, but then it is longer than any file too. */
  const u64 = () => Number(view.getBigUint64(advance(8), true));

  function blob(length: number): Uint8Array {
    countSteps(stepsPerObject);
    const begin = advance(length);
    return file.subarray(begin, begin + length);
  }

  function text(length: number): string {
    if (length > textLimit) at.fail('unsupported', `a text of ${length} bytes is longer than ${textLimit}`);
    return decodeUtf8(blob(length));
  }

  function decodeUtf8(encoded: Uint8Array): string {
    try {
      return utf8.decode(encoded);
    } catch {
      return at.fail('damaged', 'a text is not UTF-8');
    }
  }

  /** Python 2's byte text; one character a byte. */
  function latin1(encoded: Uint8Array): string {
    if (encoded.length > textLimit) at.fail('unsupported', `a text of ${encoded.length} bytes is too long`);
    const parts: string[] = [];
    for (let i = 0; i < encoded.length; i += 8192) parts.push(String.fromCharCode(...encoded.subarray(i, i + 8192)));
    return parts.join('');
  }

  /** The rest of the line, without its end. */
  function line(limit = textLimit): Uint8Array {
    const end = file.subarray(position, position + limit + 1).indexOf(0x0a);
    if (end < 0 && file.length - position <= limit) at.fail('truncated', 'a line does not end');
    if (end < 0) at.fail('damaged', `a line is longer than ${limit} characters`);
    const content = blob(end);
    position++;
    return content;
  }

  /** Two's complement, little-endian. */
  function longInteger(length: number): number | bigint {
    if (length < 0 || length > integerByteLimit) at.fail('unsupported', `an integer has ${length} bytes`);
    const encoded = blob(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(encoded[i]);
    return plainInteger(BigInt.asIntN(8 * length, value));
  }

  function decimalInteger(digits: string): number | bigint {
    if (!/^\s*[+-]?\d{1,2400}L?\s*$/.test(digits)) at.fail('damaged', `${quote(digits)} is no integer`);
    return plainInteger(BigInt(digits.replace('L', '').trim().replace(/^\+/, '')));
  }

  function decimalFloat(digits: string): number {
    const special: Record<string, number> = { inf: Infinity, '-inf': -Infinity, nan: NaN };
    const key = digits.trim();
    if (Object.hasOwn(special, key)) return special[key];
    if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(key)) at.fail('damaged', `${quote(digits)} is no number`);
    return Number(key);
  }

  function pop(): PickleValue {
    if (stack.length <= (marks.at(-1) ?? 0)) at.fail('damaged', 'a value is taken from the empty stack');
    return stack.pop() as PickleValue;
  }

  function top(): PickleValue {
    if (stack.length <= (marks.at(-1) ?? 0)) at.fail('damaged', 'the stack is empty where a value is expected');
    return stack[stack.length - 1];
  }

  /** The values above the last mark; takes the mark away. */
  function popMark(): PickleValue[] {
    const mark = marks.pop();
    if (mark === undefined) return at.fail('damaged', 'no mark stands on the stack');
    return stack.splice(mark);
  }

  function popTuple(length: number): PickleValue[] {
    const items = Array.from({ length }, pop);
    return items.reverse();
  }

  function get(index: number): PickleValue {
    const value = memo.get(index);
    return value === undefined ? at.fail('damaged', `value ${index} is recalled, but was never stored`) : value;
  }

  /** A name by which Python would import something. Names are as long as their texts: bounded before they are joined. */
  function reference(module: PickleValue, member: PickleValue): GlobalReference | Opaque {
    if (typeof module !== 'string' || typeof member !== 'string') {
      return at.fail('damaged', `${nameKind(module)} and ${nameKind(member)} name something to import`);
    }
    const known = module.length + member.length <= nameLimit;
    const full = known ? `${module}.${member}` : `${module.slice(0, 100)}.${member.slice(0, 100)}`;
    if (known && allowList.has(full)) return { kind: 'global', name: full };
    if (skip) return { kind: 'opaque', global: full };
    throw new CheckpointError(
      'global-not-allowed',
      `${name} asks to import ${quote(full).slice(1, -1)}, which weights do not need; nothing was executed. If you trust where ` +
        'it comes from, save its state_dict() alone, or read only its tensors (--tensors-only).',
    );
  }

  /** REDUCE, NEWOBJ and the like: what a name makes of its arguments. */
  function call(callee: PickleValue, args: PickleValue): PickleValue {
    countSteps(stepsPerObject);
    if (isKind(callee, 'opaque')) return callee;
    if (!Array.isArray(args)) return at.fail('damaged', `the arguments of a call are ${nameKind(args)}, not a tuple`);
    const opaque = args.slice(0, 8).find((argument) => isKind(argument, 'opaque'));
    if (opaque !== undefined) return opaque;
    const construct = isKind(callee, 'global') ? allowList.get(callee.name) : undefined;
    if (!construct) return at.fail('damaged', `${nameKind(callee)} is called`);
    try {
      return construct(args, at);
    } catch (error) {
      if (!skip || !(error instanceof CheckpointError) || error.kind !== 'unsupported') throw error;
      return { kind: 'opaque', global: nameKind(callee) };
    }
  }

  function build(): void {
    const state = pop();
    const value = top();
    if (isKind(value, 'opaque') || isKind(state, 'opaque')) return;
    if (!setState(value, state, at) && !skip) at.fail('damaged', `a state is set on ${nameKind(value)}`);
  }

  function emptyDictionary(): Map<PickleValue, PickleValue> {
    countSteps(stepsPerObject);
    return new Map();
  }

  function emptySet(): Set<PickleValue> {
    countSteps(stepsPerObject);
    return new Set();
  }

  function append(items: readonly PickleValue[]): void {
    const list = top();
    if (isKind(list, 'opaque')) return;
    if (!Array.isArray(list)) throw at.fail('damaged', `items are appended to ${nameKind(list)}`);
    for (const item of items) list.push(item);
  }

  function setItems(items: readonly PickleValue[]): void {
    const dictionary = top();
    if (items.length % 2 !== 0) at.fail('damaged', 'a dictionary has a key without a value');
    if (isKind(dictionary, 'opaque')) return;
    if (!(dictionary instanceof Map)) throw at.fail('damaged', `entries are set in ${nameKind(dictionary)}`);
    for (let i = 0; i < items.length; i += 2) setItem(dictionary, items[i], items[i + 1], at);
  }

  function addItems(items: readonly PickleValue[]): void {
    const set = top();
    if (isKind(set, 'opaque')) return;
    if (!(set instanceof Set)) throw at.fail('damaged', `items are added to ${nameKind(set)}`);
    for (const item of items) set.add(checkKey(item, at));
  }

  /** In a whole module of the legacy container, ids of another kind come with the sources of its classes. */
  function persistent(id: PickleValue): PickleValue {
    const parts = Array.isArray(id) ? id : [];
    return parts.slice(0, 2).find((part) => isKind(part, 'opaque')) ?? storageFromId(id, at);
  }

  let protocol = 0;
  for (;;) {
    opcodeAt = position;
    countSteps(1);
    if (position >= file.length) at.fail('truncated', 'the pickle ends without its end mark');
    const opcode = file[position++];
    switch (opcode) {
      case 0x80: // PROTO
        protocol = u8();
        if (protocol > 5) at.fail('unsupported', `pickle protocol ${protocol} is newer than 5`);
        break;
      case 0x95: // FRAME: how many bytes belong together; only worth checking
        {
          const length = u64();
          if (length > file.length - position) {
            at.fail('truncated', `a frame of ${length} bytes is announced, ${file.length - position} are left`);
          }
        }
        break;
      case 0x2e: // STOP
        {
          const value = pop();
          checkNesting(value, at);
          return { value, protocol, end: position };
        }

      case 0x4e: // NONE
        stack.push(null);
        break;
      case 0x88: // NEWTRUE
        stack.push(true);
        break;
      case 0x89: // NEWFALSE
        stack.push(false);
        break;
      case 0x49: // INT; 00 and 01 are False and True
        {
          const digits = latin1(line(nameLimit));
          stack.push(digits === '00' ? false : digits === '01' ? true : decimalInteger(digits));
          break;
        }
      case 0x4c: // LONG
        stack.push(decimalInteger(latin1(line(2500))));
        break;
      case 0x46: // FLOAT
        stack.push(decimalFloat(latin1(line(nameLimit))));
        break;
      case 0x4a: // BININT
        stack.push(i32());
        break;
      case 0x4b: // BININT1
        stack.push(u8());
        break;
      case 0x4d: // BININT2
        stack.push(u16());
        break;
      case 0x8a: // LONG1
        stack.push(longInteger(u8()));
        break;
      case 0x8b: // LONG4
        stack.push(longInteger(i32()));
        break;
      case 0x47: // BINFLOAT, big-endian
        stack.push(view.getFloat64(advance(8), false));
        break;

      case 0x53: // STRING
        stack.push(unescapeString(latin1(line()), at));
        break;
      case 0x54: // BINSTRING
        {
          const length = i32();
          if (length < 0) at.fail('damaged', `a text has ${length} bytes`);
          stack.push(latin1(blob(length)));
          break;
        }
      case 0x55: // SHORT_BINSTRING
        stack.push(latin1(blob(u8())));
        break;
      case 0x56: // UNICODE
        stack.push(unescapeUnicode(latin1(line()), at));
        break;
      case 0x8c: // SHORT_BINUNICODE
        stack.push(text(u8()));
        break;
      case 0x58: // BINUNICODE
        stack.push(text(u32()));
        break;
      case 0x8d: // BINUNICODE8
        stack.push(text(u64()));
        break;
      case 0x43: // SHORT_BINBYTES
        stack.push(blob(u8()));
        break;
      case 0x42: // BINBYTES
        stack.push(blob(u32()));
        break;
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        stack.push(blob(u64()));
        break;

      case 0x28: // MARK
        marks.push(stack.length);
        break;
      case 0x30: // POP: a value, or the mark that lies on top
        if (marks.length > 0 && marks.at(-1) === stack.length) marks.pop();
        else pop();
        break;
      case 0x31: // POP_MARK
        popMark();
        break;
      case 0x32: // DUP
        stack.push(top());
        break;

      case 0x29: // EMPTY_TUPLE
      case 0x5d: // EMPTY_LIST
        stack.push([]);
        break;
      case 0x74: // TUPLE
      case 0x6c: // LIST
        stack.push(popMark());
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        stack.push(popTuple(opcode - 0x84));
        break;
      case 0x61: // APPEND
        append([pop()]);
        break;
      case 0x65: // APPENDS
        append(popMark());
        break;
      case 0x7d: // EMPTY_DICT
        stack.push(emptyDictionary());
        break;
      case 0x64: // DICT
        {
          const items = popMark();
          stack.push(emptyDictionary());
          setItems(items);
          break;
        }
      case 0x73: // SETITEM
        setItems(popTuple(2));
        break;
      case 0x75: // SETITEMS
        setItems(popMark());
        break;
      case 0x8f: // EMPTY_SET
        stack.push(emptySet());
        break;
      case 0x90: // ADDITEMS
        addItems(popMark());
        break;
      case 0x91: // FROZENSET
        {
          const items = popMark();
          stack.push(emptySet());
          addItems(items);
          break;
        }

      case 0x70: // PUT
        memo.set(Number(decimalInteger(latin1(line(nameLimit)))), top());
        break;
      case 0x71: // BINPUT
        memo.set(u8(), top());
        break;
      case 0x72: // LONG_BINPUT
        memo.set(u32(), top());
        break;
      case 0x94: // MEMOIZE
        memo.set(memo.size, top());
        break;
      case 0x67: // GET
        stack.push(get(Number(decimalInteger(latin1(line(nameLimit))))));
        break;
      case 0x68: // BINGET
        stack.push(get(u8()));
        break;
      case 0x6a: // LONG_BINGET
        stack.push(get(u32()));
        break;

      case 0x63: // GLOBAL
        {
          const module = decodeUtf8(line(nameLimit));
          stack.push(reference(module, decodeUtf8(line(nameLimit))));
          break;
        }
      case 0x93: // STACK_GLOBAL
        {
          const member = pop();
          stack.push(reference(pop(), member));
          break;
        }
      case 0x52: // REDUCE
      case 0x81: // NEWOBJ
        {
          const args = pop();
          stack.push(call(pop(), args));
          break;
        }
      case 0x92: // NEWOBJ_EX: arguments by name too, which nothing on the allow-list takes
        {
          const named = pop();
          const args = pop();
          const callee = pop();
          if (!isKind(callee, 'opaque') && !(named instanceof Map && named.size === 0)) {
            at.fail('damaged', `${nameKind(callee)} is called with arguments by name`);
          }
          stack.push(call(callee, args));
          break;
        }
      case 0x69: // INST
        {
          const module = decodeUtf8(line(nameLimit));
          const callee = reference(module, decodeUtf8(line(nameLimit)));
          stack.push(call(callee, popMark()));
          break;
        }
      case 0x6f: // OBJ
        {
          const [callee, ...args] = popMark();
          stack.push(callee === undefined ? at.fail('damaged', 'nothing is called') : call(callee, args));
          break;
        }
      case 0x62: // BUILD
        build();
        break;
      case 0x51: // BINPERSID
        stack.push(persistent(pop()));
        break;
      case 0x50: // PERSID
        at.fail('unsupported', `it refers to data outside of the pickle as ${quote(latin1(line(nameLimit)))}`);
        break;
      case 0x82: // EXT1
      case 0x83: // EXT2
      case 0x84: // EXT4
        {
          const code = opcode === 0x82 ? u8() : opcode === 0x83 ? u16() : i32();
          stack.push(reference('copyreg', `extension ${code}`));
          break;
        }
      case 0x97: // NEXT_BUFFER
      case 0x98: // READONLY_BUFFER
        at.fail('unsupported', 'its buffers lie outside of the file');
        break;
      default:
        at.fail('damaged', `${opcode} is no pickle instruction`);
    }
  }
}

/** A byte text as Python 2 prints it: quoted, with escapes. */
function unescapeString(printed: string, at: Construction): string {
  const trimmed = printed.trimEnd();
  const mark = trimmed[0];
  if (trimmed.length < 2 || (mark !== "'" && mark !== '"') || trimmed.at(-1) !== mark) {
    at.fail('damaged', `the text ${quote(printed)} is not quoted`);
  }
  const letters: Record<string, string> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };
  return trimmed.slice(1, -1).replace(/\\(?:x([0-9a-fA-F]{2})|([0-7]{1,3})|(.))/gs, (whole, hex, octal, letter) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 0xff);
    if (letter === '\\' || letter === "'" || letter === '"') return letter;
    return letters[letter] ?? whole;
  });
}

/** Python's raw-unicode-whole: Latin-1, with \uXXXX and \UXXXXXXXX for the rest. */
function unescapeUnicode(escaped: string, at: Construction): string {
  return escaped.replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (_, short, long) => {
    const code = Number.parseInt(short ?? long, 16);
    return code > 0x10ffff ? at.fail('damaged', `a text has the character code ${code}`) : String.fromCodePoint(code);
  });
}

/**
 * What others may rely on when they walk a value: it ends, and is at most `nestingLimit` lists and dictionaries deep.
 * Each list is visited once, however often it is referred to.
 */
function checkNesting(root: PickleValue, at: Construction): void {
  const heights = new Map<object, number>();
  const measure = (value: PickleValue, depth: number): number => {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array || 'kind' in value) return 0;
    const known = heights.get(value);
    if (depth + (known ?? 1) > nestingLimit) {
      at.fail('unsupported', `lists and dictionaries are nested more than ${nestingLimit} deep, or contain themselves`);
    }
    if (known !== undefined) return known;
    let height = 1;
    const visit = (child: PickleValue) => {
      height = Math.max(height, 1 + measure(child, depth + 1));
    };
    if (value instanceof Map) {
      for (const [key, item] of value) {
        visit(key);
        visit(item);
      }
    } else {
      for (const child of value) visit(child);
    }
    heights.set(value, height);
    return height;
  };
  measure(root, 0);
}
