// What a person who types `/matrix …` sees, in every state that the bridge may be in.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';

import { Runtime } from './runtime.mjs';

const SECRET = 'a secret of at least thirty-two letters';
const alice = { id: 'u-alice', username: 'alice', name: 'Alice' };
const general = { id: 'r-general', type: 'c', slugifiedName: 'general' };

let runtime;
let bridge;
let respond;
let calls = [];
let notes = [];
let provided = [];
let settings;

/** The server's part: settings, HTTP, and the note that only the caller sees. */
async function server(method, params) {
    switch (method) {
        case 'accessor:getConfigurationExtend:settings:provideSetting':
        case 'accessor:getConfigurationExtend:slashCommands:provideSlashCommand':
            provided.push(params[0]);
            return null;
        case 'accessor:getReader:getEnvironmentReader:getSettings:getValueById':
            return settings[params[0]];
        case 'bridges:getUserBridge:doGetAppUser':
            return { id: 'u-app', username: 'matrix-bridge.bot' };
        case 'bridges:getMessageBridge:doNotifyUser':
            notes.push({ to: params[0].id, message: params[1] });
            return null;
        case 'bridges:getHttpBridge:doCall': {
            const { url, request: options } = params[0];
            const signal = AbortSignal.timeout(options.timeout);
            const response = await fetch(url, { method: 'POST', headers: options.headers, body: options.content, signal });
            const content = await response.text();
            let data;
            try {
                data = JSON.parse(content);
            } catch {}
            return { url, method: 'POST', statusCode: response.status, content, data };
        }
        default:
            return null;
    }
}

async function type(words, { thread } = {}) {
    const params = words.split(' ');
    await runtime.request('slashcommand:matrix:executor', [{ sender: alice, room: general, params, threadId: thread }]);
    assert.equal(notes.length, 1, 'one answer');
    const { to, message } = notes[0];
    assert.equal(to, alice.id, 'the answer is for the caller');
    assert.equal(message.room.id, general.id);
    return message;
}

before(async () => {
    bridge = createServer((request, response) => {
        let body = '';
        request.on('data', (data) => (body += data));
        request.on('end', () => {
            calls.push({ path: request.url, headers: request.headers, body });
            const [status, type, answer] = respond();
            response.writeHead(status, { 'content-type': type }).end(answer);
        });
    });
    await new Promise((listening) => bridge.listen(0, '127.0.0.1', listening));
    runtime = await Runtime.start(server);
});

after(() => {
    runtime?.stop();
    bridge?.close();
});

beforeEach(() => {
    calls = [];
    notes = [];
    settings = { bridge_url: `http://127.0.0.1:${bridge.address().port}/`, secret: SECRET };
    respond = () => [200, 'application/json', JSON.stringify({ text: 'Done.' })];
});

test('the App brings one command with hints, and two settings', () => {
    const command = provided.find((item) => item.command);
    assert.equal(command.command, 'matrix');
    assert.equal(command.providesPreview, true);
    const texts = JSON.parse(readFileSync(new URL('../i18n/en.json', import.meta.url)));
    assert.match(texts[command.i18nParamsExample], /dm @user:server/);
    assert.ok(texts[command.i18nDescription]);
    const needed = provided.filter((item) => item.id).map((item) => [item.id, item.type, item.public]);
    assert.deepEqual(needed, [['bridge_url', 'string', false], ['secret', 'password', false]]);
    for (const language of ['en', 'de']) {
        const known = JSON.parse(readFileSync(new URL(`../i18n/${language}.json`, import.meta.url)));
        assert.deepEqual(Object.keys(known), Object.keys(texts), `every text in ${language}`);
    }
});

test('a command goes to the bridge, signed, and its answer to the caller alone', async () => {
    const message = await type('dm @dora:example.org', { thread: 'm-root' });
    assert.equal(message.text, 'Done.');
    assert.equal(message.threadId, 'm-root');
    assert.equal(message.sender.username, 'matrix-bridge.bot');
    const [call] = calls;
    assert.equal(call.path, '/_rocketchat/app/v1/command');
    const { id, ...asked } = JSON.parse(call.body);
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(asked, {
        user_id: 'u-alice',
        username: 'alice',
        room_id: 'r-general',
        thread_id: 'm-root',
        words: 'dm @dora:example.org',
    });
    const time = call.headers['x-bridge-time'];
    assert.ok(Math.abs(Date.now() - Number(time)) < 60_000);
    const signature = createHmac('sha256', SECRET).update(`${time}.${call.body}`).digest('hex');
    assert.equal(call.headers['x-bridge-signature'], `sha256=${signature}`);
    assert.ok(!JSON.stringify(call).includes(SECRET), 'the secret itself is not sent');
});

test('two commands with the same words are two calls', async () => {
    await type('status');
    notes = [];
    await type('status');
    const ids = calls.map((call) => JSON.parse(call.body).id);
    assert.notEqual(ids[0], ids[1]);
});

test('without its settings the App says who must do what, and calls nobody', async () => {
    for (const missing of ['bridge_url', 'secret']) {
        notes = [];
        settings = { bridge_url: 'http://127.0.0.1:1', secret: SECRET, [missing]: '' };
        assert.match((await type('help')).text, /does not know its bridge yet: an administrator/);
    }
    assert.equal(calls.length, 0);
});

test('when the bridge is away the caller is told', async () => {
    settings.bridge_url = 'http://127.0.0.1:1';
    assert.match((await type('status')).text, /does not answer/);
    notes = [];
    settings.bridge_url = 'not an address';
    assert.match((await type('status')).text, /does not answer/);
    for (const status of [502, 503, 504]) {
        notes = [];
        settings.bridge_url = `http://127.0.0.1:${bridge.address().port}`;
        respond = () => [status, 'text/html', '<h1>gateway</h1>'];
        assert.match((await type('status')).text, /does not answer/);
    }
});

test('a bridge that is silent is waited for no longer than the engine waits for the App', async () => {
    let hangs;
    const silent = createServer((request, response) => (hangs = response));
    await new Promise((listening) => silent.listen(0, '127.0.0.1', listening));
    settings.bridge_url = `http://127.0.0.1:${silent.address().port}`;
    assert.match((await type('status')).text, /does not answer/);
    hangs.destroy();
    silent.close();
});

test('a wrong secret and a wrong address are told apart', async () => {
    respond = () => [401, 'application/json', '{"text":"who are you?"}'];
    assert.match((await type('status')).text, /setting "Secret"/);
    notes = [];
    respond = () => [404, 'text/plain', 'no'];
    assert.match((await type('status')).text, /Address of the bridge/);
});

test('what is no answer of the bridge is not shown', async () => {
    for (const nonsense of ['<html>', '[]', 'null', '{"text":{}}', JSON.stringify({ text: 'x'.repeat(60_000) })]) {
        notes = [];
        respond = () => [200, 'application/json', nonsense];
        assert.match((await type('status')).text, /^The bridge refused this \(200\)/);
    }
});

test('somebody who asks too often reads why', async () => {
    respond = () => [429, 'application/json', JSON.stringify({ text: 'Too many commands: wait a minute.' })];
    assert.equal((await type('status')).text, 'Too many commands: wait a minute.');
});

async function offered(words) {
    const params = words === '' ? [] : words.split(' ');
    const preview = await runtime.request('slashcommand:matrix:previewer', [{ sender: alice, room: general, params }]);
    // The server hands it on as it is (that of a command it names after the App by itself).
    const { id } = JSON.parse(readFileSync(new URL('../app.json', import.meta.url)));
    const texts = JSON.parse(readFileSync(new URL('../i18n/en.json', import.meta.url)));
    const [app, text] = preview.i18nTitle.split('.');
    assert.equal(app, `app-${id}`);
    assert.ok(texts[text]);
    return preview.items;
}

test('while somebody types, the commands that fit are offered, and nobody is asked', async () => {
    const all = await offered('');
    assert.equal(all.length, 10, 'as many as are shown');
    assert.equal(all[0].id, 'help');
    assert.ok(all.every((item) => item.type === 'text' && item.value.startsWith(`/matrix ${item.id}`)));
    const b = await offered('b');
    assert.deepEqual(b.map((item) => item.id), ['ban', 'bridge']);
    assert.equal(b[0].value, '/matrix ban <@user:server> [reason]');
    assert.deepEqual((await offered('UNB')).map((item) => item.id), ['unban', 'unbridge']);
    // What is whole is given as it stands.
    for (const words of ['whoami', 'dm @dora:example.org', 'dm ', 'nonsense', 'nonsense here']) {
        assert.deepEqual(await offered(words), [], words);
    }
    assert.equal(calls.length, 0);
});

test('a chosen line shows something and changes nothing', async () => {
    for (const [words, item, given] of [
        ['who', 'whoami', 'whoami'],
        ['st', 'status', 'status'],
        ['unb', 'unbridge', 'help unbridge'],
        ['', 'dm', 'help dm'],
        ['logo', 'logout', 'help logout'],
        ['whatever', 'no such line', 'whatever'],
    ]) {
        calls = [];
        notes = [];
        const params = words.split(' ');
        const chosen = { id: item, type: 'text', value: `/matrix ${item}` };
        await runtime.request('slashcommand:matrix:executePreviewItem', [chosen, { sender: alice, room: general, params }]);
        assert.equal(notes.length, 1, 'one answer');
        assert.equal(notes[0].to, alice.id);
        assert.equal(JSON.parse(calls[0].body).words, given);
    }
});
