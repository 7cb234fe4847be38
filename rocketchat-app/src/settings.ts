import { ISetting, SettingType } from '@rocket.chat/apps-engine/definition/settings';

/** Where the bridge is. */
export const BRIDGE_URL = 'bridge_url';

/** What the bridge and this App know, and nobody else. */
export const SECRET = 'secret';

export const settings: ISetting[] = [
    {
        id: BRIDGE_URL,
        type: SettingType.STRING,
        packageValue: '',
        required: true,
        public: false,
        i18nLabel: BRIDGE_URL,
        i18nDescription: 'bridge_url_description',
    },
    {
        id: SECRET,
        type: SettingType.PASSWORD,
        packageValue: '',
        required: true,
        public: false,
        i18nLabel: SECRET,
        i18nDescription: 'secret_description',
    },
];
