// The App in the runtime that Rocket.Chat 6.14 gives it: the Deno program of the apps engine,
// spoken to as the server does, JSON-RPC in MessagePack over its standard streams. What the
// engine's package leaves to be fetched from the network comes from npm here.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const require = createRequire(import.meta.url);
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const modules = path.join(root, 'node_modules');
const engine = path.join(modules, '@rocket.chat', 'apps-engine');
const { Decoder, Encoder, ExtensionCodec } = require('@msgpack/msgpack');

/** For so long the engine waits for an App: then whoever gave a command reads an error. */
const ENGINE_WAITS_MS = 10_000;

/** The Deno program: npm brings it for Linux on x86-64, `DENO` names another. */
function denoProgram() {
    return process.env.DENO ?? path.join(modules, '@deno', 'linux-x64-glibc', 'deno');
}

function codec() {
    const extensionCodec = new ExtensionCodec();
    extensionCodec.register({ type: 0, encode: (value) => (typeof value === 'function' ? new Uint8Array(0) : null), decode: () => undefined });
    extensionCodec.register({ type: 1, encode: (value) => (value instanceof Buffer ? new Uint8Array(value) : null), decode: (data) => Buffer.from(data) });
    return { encoder: new Encoder({ extensionCodec }), decoder: new Decoder({ extensionCodec }) };
}

export class Runtime {
    /** `answer(method, params)` plays the server: what the App asks of it. */
    static async start(answer) {
        const runtime = new Runtime(answer);
        await runtime.ready;
        const info = JSON.parse(readFileSync(path.join(root, 'app.json'), 'utf8'));
        const code = readFileSync(path.join(root, 'dist', info.classFile), 'utf8');
        const appPackage = { info, files: { [info.classFile]: code }, languageContent: {}, implemented: {} };
        await runtime.request('app:construct', [appPackage]);
        await runtime.request('app:initialize', []);
        return runtime;
    }

    constructor(answer) {
        this.answer = answer;
        this.pending = new Map();
        this.directory = mkdtempSync(path.join(tmpdir(), 'matrix-app-'));
        // The one thing that the runtime takes from elsewhere than npm.
        const writeAll = path.join(this.directory, 'write_all.ts');
        writeFileSync(
            writeAll,
            'export async function writeAll(writer: { write(p: Uint8Array): Promise<number> }, data: Uint8Array) { let n = 0; while (n < data.length) n += await writer.write(data.subarray(n)); }\n',
        );
        const map = {
            imports: {
                '@rocket.chat/apps-engine/': pathToFileURL(engine).href + '/',
                'https://deno.land/std@0.216.0/io/write_all.ts': pathToFileURL(writeAll).href,
            },
        };
        for (const name of ['@msgpack/msgpack', 'jsonrpc-lite', 'stack-trace', 'uuid', 'acorn', 'acorn-walk', 'astring', '@rocket.chat/ui-kit']) {
            map.imports[name] = pathToFileURL(this.asModule(name)).href;
        }
        const importMap = path.join(this.directory, 'import_map.json');
        writeFileSync(importMap, JSON.stringify(map));
        this.process = spawn(
            denoProgram(),
            ['run', '--no-check', '--no-config', '--no-lock', '--allow-net', '--allow-env', `--allow-read=${root},${this.directory}`, `--import-map=${importMap}`, path.join(engine, 'deno-runtime', 'main.ts'), '--subprocess', 'test'],
            { env: { DENO_DIR: path.join(this.directory, 'deno'), NO_COLOR: '1', PATH: process.env.PATH }, stdio: ['pipe', 'pipe', 'pipe'] },
        );
        this.errors = '';
        this.process.stderr.on('data', (data) => (this.errors += data));
        const { encoder, decoder } = codec();
        this.encoder = encoder;
        this.ready = new Promise((resolve, reject) => {
            this.isReady = resolve;
            this.process.on('exit', (code) => {
                const gone = new Error(`the runtime ended (${code}): ${this.errors}`);
                reject(gone);
                for (const { reject } of this.pending.values()) reject(gone);
            });
            this.process.on('error', reject);
        });
        this.listen(decoder);
    }

    /** A package of npm in a form that an import map can name. */
    asModule(name) {
        const own = createRequire(path.join(engine, 'package.json'));
        const file = path.join(this.directory, name.replace(/\W/g, '_') + '.mjs');
        const names = Object.keys(own(name)).filter((key) => key !== 'default');
        writeFileSync(
            file,
            `import { createRequire } from 'node:module';\nconst module = createRequire(${JSON.stringify(engine + '/')})(${JSON.stringify(name)});\nexport default module;\n` +
                names.map((key) => `export const ${key} = module.${key};\n`).join(''),
        );
        return file;
    }

    async listen(decoder) {
        for await (const message of decoder.decodeStream(this.process.stdout)) {
            if (message.method === 'ready') {
                this.isReady();
            } else if (message.method === 'log') {
                // Not of interest.
            } else if (message.method) {
                this.serve(message);
            } else if (this.pending.has(message.id)) {
                const { resolve, reject } = this.pending.get(message.id);
                this.pending.delete(message.id);
                message.error ? reject(new Error(message.error.message)) : resolve(message.result?.value);
            }
        }
    }

    async serve({ id, method, params }) {
        try {
            const result = await this.answer(method, params);
            this.send({ jsonrpc: '2.0', id, result: result ?? null });
        } catch (error) {
            this.send({ jsonrpc: '2.0', id, error: { code: -32000, message: error.message } });
        }
    }

    send(message) {
        this.process.stdin.write(this.encoder.encode(message));
    }

    request(method, params) {
        const id = Math.random().toString(36).slice(2);
        return new Promise((resolve, reject) => {
            // What only starts the App waits for this machine.
            const late = method.startsWith('slashcommand:')
                ? setTimeout(() => {
                      this.pending.delete(id);
                      reject(new Error(`the engine has waited for ${method} for too long`));
                  }, ENGINE_WAITS_MS)
                : undefined;
            const done = (end) => (value) => {
                clearTimeout(late);
                end(value);
            };
            this.pending.set(id, { resolve: done(resolve), reject: done(reject) });
            this.send({ jsonrpc: '2.0', id, method, params });
        });
    }

    stop() {
        this.process.kill('SIGKILL');
        rmSync(this.directory, { recursive: true, force: true });
    }
}
