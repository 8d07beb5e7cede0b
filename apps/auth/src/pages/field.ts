import { type Html, html } from './html.ts';

interface FieldView {
  name: string;
  label: string;
  type?: 'text' | 'email' | 'password';
  value?: string;
  autocomplete: string;
  /** What is wrong with it, said below it. */
  fault?: string | undefined;
  /** What helps to fill it in. */
  hint?: string;
  required?: boolean;
  autofocus?: boolean;
}

/** A labelled field that tells assistive technology what is wrong with it. */
export function field(view: FieldView): Html {
  const { name, label, type = 'text', value = '', autocomplete, fault, hint, required, autofocus } = view;
  const descriptions = [fault !== undefined && `${name}-fault`, hint !== undefined && `${name}-hint`];
  const describedBy = descriptions.filter(Boolean).join(' ');
  return html`<label for="${name}">${label}</label>
<input id="${name}" name="${name}" type="${type}" value="${value}" autocomplete="${autocomplete}"${
    type === 'text' &&
    html` autocapitalize="${autocomplete === 'name' ? 'words' : 'none'}" autocorrect="off" spellcheck="false"`
  }${required && html` required`}${autofocus && html` autofocus`}${fault !== undefined && html` aria-invalid="true"`}${
    describedBy !== '' && html` aria-describedby="${describedBy}"`
  }>
${fault !== undefined && html`<p class="field-fault" id="${name}-fault" role="alert">${fault}</p>`}${
  hint !== undefined && html`<p class="hint" id="${name}-hint">${hint}</p>`
}`;
}
