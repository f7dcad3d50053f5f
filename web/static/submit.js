// Sends the form_post answer on; without JavaScript its button does.
const form = document.getElementById('post');
if (form instanceof HTMLFormElement) form.requestSubmit();
