import { createHmac, randomUUID } from 'crypto';

import { IHttp, IHttpResponse } from '@rocket.chat/apps-engine/definition/accessors';

/** The path of the bridge's listener that takes commands; the number is that of this contract. */
const PATH = '/_rocketchat/app/v1/command';

/**
 * Longer than the bridge takes to answer: after 6 seconds it says that it goes on by itself.
 * Shorter than the apps engine of Rocket.Chat 6.11 to 6.13 gives a command: after 10 seconds
 * whoever gave it reads that something went wrong.
 */
const TIMEOUT_MS = 8_000;

/** Longer answers are no answers of the bridge. */
const LONGEST_ANSWER = 50_000;

/** What a person asked for, where. */
export interface Asked {
    user_id: string;
    username: string;
    room_id: string;
    thread_id?: string;
    words: string;
}

/** Where the bridge is and how this App proves that it is the one asking. */
export interface Access {
    url: string;
    secret: string;
}

/**
 * Gives a command to the bridge. Never throws: what comes back is always something to say
 * to whoever asked.
 */
export async function ask(http: IHttp, access: Access, asked: Asked): Promise<string> {
    // The id lets the bridge tell a repeat of this call from a second command.
    const body = JSON.stringify({ id: randomUUID(), ...asked });
    const time = Date.now().toString();
    let response: IHttpResponse;
    try {
        response = await http.post(endpoint(access.url), {
            content: body,
            timeout: TIMEOUT_MS,
            headers: {
                'Content-Type': 'application/json',
                'X-Bridge-Time': time,
                'X-Bridge-Signature': sign(access.secret, time, body),
            },
        });
    } catch {
        return away();
    }
    return said(response);
}

/** The signature of a call: over the time and the body, so that neither can be exchanged. */
export function sign(secret: string, time: string, body: string): string {
    return 'sha256=' + createHmac('sha256', secret).update(`${time}.${body}`).digest('hex');
}

function endpoint(url: string): string {
    return url.trim().replace(/\/+$/, '') + PATH;
}

function away(): string {
    return 'The bridge to Matrix does not answer. Your command may or may not have been carried out: try `/matrix status` in a while. If it stays so, tell an administrator.';
}

function said(response: IHttpResponse | undefined): string {
    // What the runtime gives when nothing was reached.
    if (!response || !response.statusCode) {
        return away();
    }
    const answer = text(response);
    if (answer !== undefined) {
        return answer;
    }
    switch (response.statusCode) {
        case 401:
            return 'The bridge does not believe this App: its setting "Secret" must be the one that `install-app --show-settings` of the bridge prints, and the clocks of both must agree. An administrator can mend it; `install-app` enters the settings by itself. Nothing was done.';
        case 404:
            return 'At the address in the settings of this App there is no bridge that takes commands: an administrator must check "Address of the bridge"; `install-app --bridge-url` of the bridge enters another one. Nothing was done.';
        case 502:
        case 503:
        case 504:
            return away();
        default:
            return `The bridge refused this (${response.statusCode}). An administrator finds more in its log.`;
    }
}

/** What the bridge says, if this is an answer of the bridge. */
function text(response: IHttpResponse): string | undefined {
    if (response.statusCode !== 200 && response.statusCode !== 429) {
        return undefined;
    }
    let data: unknown = response.data;
    if (data === undefined && response.content !== undefined) {
        try {
            data = JSON.parse(response.content);
        } catch {
            return undefined;
        }
    }
    const answer = (data as { text?: unknown } | null)?.text;
    return typeof answer === 'string' && answer.length <= LONGEST_ANSWER ? answer : undefined;
}
